package httpapi

import (
	"net/http"

	"sallyport"
)

func (c *call) createOrg() error {
	o, err := c.object("name")
	if err != nil {
		return err
	}
	name, err := o.str("name", sallyport.CodeInvalidName)
	if err != nil {
		return err
	}
	org, err := c.api.Gateway.CreateOrg(c.r.Context(), c.by, sallyport.OrgCreate{Name: name})
	if err != nil {
		return err
	}
	c.answer(http.StatusCreated, org)
	return nil
}

func (c *call) listOrgs() error {
	page, err := c.page()
	if err != nil {
		return err
	}
	orgs, err := c.api.Gateway.ListOrgs(c.r.Context(), c.by, page)
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, orgs)
	return nil
}

func (c *call) getOrg() error {
	org, err := c.api.Gateway.Org(c.r.Context(), c.by, c.r.PathValue("org"))
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, org)
	return nil
}

func (c *call) updateOrg() error {
	o, err := c.object("name")
	if err != nil {
		return err
	}
	var patch sallyport.OrgPatch
	if _, ok := o["name"]; ok {
		name, err := o.str("name", sallyport.CodeInvalidName)
		if err != nil {
			return err
		}
		patch.Name = &name // null is "", which is no name
	}
	org, err := c.api.Gateway.UpdateOrg(c.r.Context(), c.by, c.r.PathValue("org"), patch)
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, org)
	return nil
}

func (c *call) deleteOrg() error {
	if err := c.api.Gateway.DeleteOrg(c.r.Context(), c.by, c.r.PathValue("org")); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
