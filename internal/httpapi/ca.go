package httpapi

import (
	"net/http"
	"strings"

	"sallyport/client/sallyport"
)

// caKeys is GET /ca and GET /orgs/{org}/ca: a file for sshd's TrustedUserCAKeys, or JSON
// for a caller that prefers it.
func (c *call) caKeys() error {
	org := c.r.PathValue("org")
	if org == "" {
		org = c.r.URL.Query().Get("org")
	}
	keys, err := c.api.Administration.CAKeys(c.r.Context(), c.by, org)
	if err != nil {
		return err
	}
	if prefersJSON(c.r.Header["Accept"]) {
		c.answer(http.StatusOK, keys)
		return nil
	}
	var text strings.Builder
	for _, k := range keys.Items {
		text.WriteString(k.Line() + "\n")
	}
	c.send(http.StatusOK, "text/plain; charset=utf-8", []byte(text.String()))
	return nil
}

// prefersJSON reports whether a caller likes JSON better than plain text (RFC 9110,
// section 12.5.1). Plain text answers one that likes both the same.
func prefersJSON(accept []string) bool {
	json, text := 0.0, 0.0
	for name, q := range accepted(accept) {
		switch name {
		case sallyport.MediaJSON:
			json = max(json, q)
		case "text/plain", "text/*", "*/*":
			text = max(text, q)
		}
	}
	return json > text
}

type rotateBody struct {
	Now bool `json:"now"`
}

// rotateCA is POST /orgs/{org}/ca/rotate.
func (c *call) rotateCA() error {
	body, err := decodeIfAny[rotateBody](c)
	if err != nil {
		return err
	}
	keys, err := c.api.Administration.RotateCA(c.r.Context(), c.by, c.r.PathValue("org"), sallyport.CARotate{Now: body.Now})
	if err != nil {
		return err
	}
	c.answer(http.StatusCreated, keys)
	return nil
}
