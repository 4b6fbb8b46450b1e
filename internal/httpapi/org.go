package httpapi

import (
	"net/http"

	"github.com/go-json-experiment/json/jsontext"

	"sallyport"
	"sallyport/internal/gateway"
)

func (c *call) createOrg() error {
	o, err := c.object("name", "aws")
	if err != nil {
		return err
	}
	name, err := o.str("name", sallyport.CodeInvalidName)
	if err != nil {
		return err
	}
	req := sallyport.OrgCreate{Name: name}
	if v, ok := o.get("aws"); ok {
		aws, err := readAWS(v)
		if err != nil {
			return err
		}
		req.AWS = &aws
	}
	org, err := c.api.Gateway.CreateOrg(c.r.Context(), c.by, req)
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
	o, err := c.object("name", "aws")
	if err != nil {
		return err
	}
	var change gateway.OrgChange
	if _, ok := o["name"]; ok {
		name, err := o.str("name", sallyport.CodeInvalidName)
		if err != nil {
			return err
		}
		change.Name = &name // null is "", which is no name
	}
	if patch, ok := o["aws"]; ok {
		change.AWS = func(now sallyport.OrgAWS) (sallyport.OrgAWS, error) { return mergeAWS(now, patch) }
	}
	org, err := c.api.Gateway.UpdateOrg(c.r.Context(), c.by, c.r.PathValue("org"), change)
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, org)
	return nil
}

// readAWS reads an organisation's access to AWS.
func readAWS(v jsontext.Value) (aws sallyport.OrgAWS, err error) {
	if v.Kind() != '{' {
		return aws, sallyport.Errorf(sallyport.CodeInvalidAWS, `aws must be an object, for example {"role_arn":"arn:aws:iam::123456789012:role/sallyport"}`)
	}
	o, err := parseObject(v)
	if err != nil {
		return aws, err
	}
	if err := o.only("aws.", "role_arn", "external_id"); err != nil {
		return aws, err
	}
	if aws.RoleARN, err = o.str("role_arn", sallyport.CodeInvalidAWS); err != nil {
		return aws, err
	}
	aws.ExternalID, err = o.str("external_id", sallyport.CodeInvalidAWS)
	return aws, err
}

// mergeAWS applies a JSON merge patch (RFC 7396); null takes all away.
func mergeAWS(now sallyport.OrgAWS, patch jsontext.Value) (sallyport.OrgAWS, error) {
	if patch.Kind() == 'n' {
		return sallyport.OrgAWS{}, nil
	}
	change, err := readAWS(patch)
	if err != nil {
		return now, err
	}
	o, err := parseObject(patch)
	if err != nil {
		return now, err
	}
	if _, ok := o["role_arn"]; ok {
		now.RoleARN = change.RoleARN
	}
	if _, ok := o["external_id"]; ok {
		now.ExternalID = change.ExternalID
	}
	return now, nil
}

func (c *call) deleteOrg() error {
	if err := c.api.Gateway.DeleteOrg(c.r.Context(), c.by, c.r.PathValue("org")); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
