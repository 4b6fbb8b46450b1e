package httpapi

import (
	"net/http"

	"sallyport/client/sallyport"
	"sallyport/internal/administration"
)

// tokenHome is whose tokens the path is about.
func (c *call) tokenHome() administration.TokenHome {
	if ws := c.r.PathValue("workspace"); ws != "" {
		return administration.TokenHome{Org: c.r.URL.Query().Get("org"), Workspace: ws}
	}
	return administration.TokenHome{Org: c.r.PathValue("org")}
}

type tokenBody struct {
	Name       string            `json:"name"`
	Scopes     scopeList         `json:"scopes"`
	ExpiresInS optional[integer] `json:"expires_in_s"`
}

func (c *call) createToken() error {
	body, err := decode[tokenBody](c)
	if err != nil {
		return err
	}
	if body.ExpiresInS.is() && body.ExpiresInS.value == 0 {
		return sallyport.Errorf(sallyport.CodeInvalidExpiry, "expires_in_s must be at least 1; leave it out for a token that lives for ever")
	}
	req := sallyport.TokenCreate{Name: body.Name, Scopes: body.Scopes, ExpiresInS: int64(body.ExpiresInS.value)}
	token, err := c.api.Administration.CreateToken(c.r.Context(), c.by, c.tokenHome(), req)
	if err != nil {
		return err
	}
	c.answer(http.StatusCreated, token)
	return nil
}

func (c *call) listTokens() error {
	page, err := c.page()
	if err != nil {
		return err
	}
	list, err := c.api.Administration.ListTokens(c.r.Context(), c.by, c.tokenHome(), page)
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, list)
	return nil
}

func (c *call) revokeToken() error {
	if err := c.api.Administration.RevokeToken(c.r.Context(), c.by, c.tokenHome(), c.r.PathValue("token")); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
