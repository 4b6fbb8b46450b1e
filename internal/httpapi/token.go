package httpapi

import (
	"net/http"

	"sallyport"
	"sallyport/internal/gateway"
)

// tokenHome is whose tokens the path is about.
func (c *call) tokenHome() gateway.TokenHome {
	if ws := c.r.PathValue("workspace"); ws != "" {
		return gateway.TokenHome{Org: c.r.URL.Query().Get("org"), Workspace: ws}
	}
	return gateway.TokenHome{Org: c.r.PathValue("org")}
}

func (c *call) createToken() error {
	o, err := c.object("name", "scopes", "expires_in_s")
	if err != nil {
		return err
	}
	var req sallyport.TokenCreate
	if req.Name, err = o.str("name", sallyport.CodeInvalidName); err != nil {
		return err
	}
	if req.Scopes, err = readScopes(o); err != nil {
		return err
	}
	life, err := o.integer("expires_in_s", sallyport.CodeInvalidExpiry)
	if err != nil {
		return err
	}
	if life != nil {
		if *life == 0 {
			return sallyport.Errorf(sallyport.CodeInvalidExpiry, "expires_in_s must be at least 1; leave it out for a token that lives for ever")
		}
		req.ExpiresInS = *life
	}
	token, err := c.api.Gateway.CreateToken(c.r.Context(), c.by, c.tokenHome(), req)
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
	list, err := c.api.Gateway.ListTokens(c.r.Context(), c.by, c.tokenHome(), page)
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, list)
	return nil
}

func (c *call) revokeToken() error {
	if err := c.api.Gateway.RevokeToken(c.r.Context(), c.by, c.tokenHome(), c.r.PathValue("token")); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func readScopes(o object) ([]sallyport.Scope, error) {
	v, ok := o.get("scopes")
	if !ok {
		return nil, nil
	}
	names, ok := asStrings(v)
	if !ok || len(names) == 0 {
		return nil, sallyport.Errorf(sallyport.CodeInvalidScopes, `scopes must be an array of one string at least, for example ["exec"]; there are %v`, sallyport.AllScopes())
	}
	scopes := make([]sallyport.Scope, len(names))
	for i, name := range names {
		scopes[i] = sallyport.Scope(name)
	}
	return scopes, nil
}
