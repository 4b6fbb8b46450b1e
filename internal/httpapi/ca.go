package httpapi

import (
	"net/http"
	"strings"

	"sallyport"
)

// caKeys is GET /ca: a file for sshd's TrustedUserCAKeys.
func (c *call) caKeys() error {
	keys, err := c.api.Gateway.CAKeys(c.r.Context())
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, k := range keys.Items {
		text.WriteString(k.Line() + "\n")
	}
	c.send(http.StatusOK, "text/plain; charset=utf-8", []byte(text.String()))
	return nil
}

func (c *call) rotateCA() error {
	body, err := c.body()
	if err != nil {
		return err
	}
	var req sallyport.CARotate
	if len(body) > 0 {
		o, err := parseObject(body)
		if err != nil {
			return err
		}
		if err := o.only("", "now"); err != nil {
			return err
		}
		if req.Now, err = o.boolean("now", sallyport.CodeInvalidNow); err != nil {
			return err
		}
	}
	keys, err := c.api.Gateway.RotateCA(c.r.Context(), c.by, req)
	if err != nil {
		return err
	}
	c.answer(http.StatusCreated, keys)
	return nil
}
