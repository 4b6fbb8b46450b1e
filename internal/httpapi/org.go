package httpapi

import (
	"maps"
	"net/http"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"sallyport"
	"sallyport/internal/gateway"
	"sallyport/internal/limits"
)

func (c *call) createOrg() error {
	o, err := c.object("name", "aws", "limits")
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
	if v, ok := o.get("limits"); ok {
		set, err := mergeLimits(sallyport.OrgLimits{}, v)
		if err != nil {
			return err
		}
		req.Limits = &set
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
	o, err := c.object("name", "aws", "limits")
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
	if patch, ok := o["limits"]; ok {
		change.Limits = func(now sallyport.OrgLimits) (sallyport.OrgLimits, error) { return mergeLimits(now, patch) }
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

// mergeLimits applies a JSON merge patch (RFC 7396) to an organisation's limits; null takes
// all of them away, or one.
func mergeLimits(now sallyport.OrgLimits, patch jsontext.Value) (sallyport.OrgLimits, error) {
	switch patch.Kind() {
	case 'n':
		return sallyport.OrgLimits{}, nil
	case '{':
	default:
		return now, sallyport.Errorf(sallyport.CodeInvalidLimits, `limits must be an object, for example {"running_execs":64}`)
	}
	o, err := parseObject(patch)
	if err != nil {
		return now, err
	}
	fields := map[string]*int{
		"running_execs": &now.RunningExecs, "running_execs_per_workspace": &now.RunningExecsPerWorkspace,
		"requests_per_s": &now.RequestsPerS, "request_burst": &now.RequestBurst,
		"org_requests_per_s": &now.OrgRequestsPerS, "org_request_burst": &now.OrgRequestBurst,
	}
	if err := o.only("limits.", slices.Sorted(maps.Keys(fields))...); err != nil {
		return now, err
	}
	for _, name := range slices.Sorted(maps.Keys(o)) {
		given, err := o.integer(name, sallyport.CodeInvalidLimits)
		switch {
		case err != nil:
			return now, err
		case given == nil:
			*fields[name] = 0
		case *given < 1 || *given > limits.OrgLimitMax:
			return now, sallyport.Errorf(sallyport.CodeInvalidLimits, "limits.%s must be an integer from 1 to %d", name, limits.OrgLimitMax)
		default:
			*fields[name] = int(*given)
		}
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
