package httpapi

import (
	"net/http"

	"github.com/go-json-experiment/json/jsontext"

	"sallyport/client/sallyport"
	"sallyport/internal/administration"
	"sallyport/internal/limits"
)

// orgBody is an organisation to be made, or a JSON merge patch of one.
type orgBody struct {
	Name   optional[string]     `json:"name"`
	AWS    optional[awsBody]    `json:"aws" want:"aws must be an object, for example {\"role_arn\":\"arn:aws:iam::123456789012:role/sallyport\"}"`
	Limits optional[limitsBody] `json:"limits" want:"limits must be an object, for example {\"running_execs\":64}"`
}

type awsBody struct {
	RoleARN    optional[string] `json:"role_arn"`
	ExternalID optional[string] `json:"external_id"`
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (b *awsBody) UnmarshalJSONFrom(dec *jsontext.Decoder) error { return readObject(dec, b) }

type limitsBody struct {
	RunningExecs             optional[integer] `json:"running_execs"`
	RunningExecsPerWorkspace optional[integer] `json:"running_execs_per_workspace"`
	RequestsPerS             optional[integer] `json:"requests_per_s"`
	RequestBurst             optional[integer] `json:"request_burst"`
	OrgRequestsPerS          optional[integer] `json:"org_requests_per_s"`
	OrgRequestBurst          optional[integer] `json:"org_request_burst"`
	Tokens                   optional[integer] `json:"tokens"`
	Workspaces               optional[integer] `json:"workspaces"`
	AttachmentBytes          optional[integer] `json:"attachment_bytes"`
	AttachmentsBytes         optional[integer] `json:"attachments_bytes"`

	RunningForwards              optional[integer] `json:"running_forwards"`
	RunningForwardsPerWorkspace  optional[integer] `json:"running_forwards_per_workspace"`
	RunningTerminals             optional[integer] `json:"running_terminals"`
	RunningTerminalsPerWorkspace optional[integer] `json:"running_terminals_per_workspace"`
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (b *limitsBody) UnmarshalJSONFrom(dec *jsontext.Decoder) error { return readObject(dec, b) }

func (c *call) createOrg() error {
	body, err := decode[orgBody](c)
	if err != nil {
		return err
	}
	req := sallyport.OrgCreate{Name: body.Name.value}
	if body.AWS.is() {
		req.AWS = &sallyport.OrgAWS{}
		body.AWS.value.apply(req.AWS)
	}
	if body.Limits.is() {
		req.Limits = &sallyport.OrgLimits{}
		if err := body.Limits.value.apply(req.Limits); err != nil {
			return err
		}
	}
	org, err := c.api.Administration.CreateOrg(c.r.Context(), c.by, req)
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
	orgs, err := c.api.Administration.ListOrgs(c.r.Context(), c.by, page)
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, orgs)
	return nil
}

func (c *call) getOrg() error {
	org, err := c.api.Administration.Org(c.r.Context(), c.by, c.r.PathValue("org"))
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, org)
	return nil
}

func (c *call) updateOrg() error {
	body, err := decode[orgBody](c)
	if err != nil {
		return err
	}
	var change administration.OrgChange
	if body.Name.given {
		change.Name = &body.Name.value // null is "", which is no name
	}
	if body.AWS.given {
		change.AWS = body.mergeAWS
	}
	if body.Limits.given {
		change.Limits = body.mergeLimits
	}
	org, err := c.api.Administration.UpdateOrg(c.r.Context(), c.by, c.r.PathValue("org"), change)
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, org)
	return nil
}

// mergeAWS applies the member as a JSON merge patch (RFC 7396); null takes all away.
func (b *orgBody) mergeAWS(now sallyport.OrgAWS) (sallyport.OrgAWS, error) {
	if b.AWS.null {
		return sallyport.OrgAWS{}, nil
	}
	b.AWS.value.apply(&now)
	return now, nil
}

func (b *awsBody) apply(aws *sallyport.OrgAWS) {
	b.RoleARN.merge(&aws.RoleARN)
	b.ExternalID.merge(&aws.ExternalID)
}

// mergeLimits applies the member as a JSON merge patch (RFC 7396); null takes all limits
// away, or one.
func (b *orgBody) mergeLimits(now sallyport.OrgLimits) (sallyport.OrgLimits, error) {
	if b.Limits.null {
		return sallyport.OrgLimits{}, nil
	}
	err := b.Limits.value.apply(&now)
	return now, err
}

func (b *limitsBody) apply(now *sallyport.OrgLimits) error {
	for _, f := range []struct {
		name  string
		given optional[integer]
		into  *int
		most  integer
	}{
		{"running_execs", b.RunningExecs, &now.RunningExecs, limits.OrgLimitMax},
		{"running_execs_per_workspace", b.RunningExecsPerWorkspace, &now.RunningExecsPerWorkspace, limits.OrgLimitMax},
		{"requests_per_s", b.RequestsPerS, &now.RequestsPerS, limits.OrgLimitMax},
		{"request_burst", b.RequestBurst, &now.RequestBurst, limits.OrgLimitMax},
		{"org_requests_per_s", b.OrgRequestsPerS, &now.OrgRequestsPerS, limits.OrgLimitMax},
		{"org_request_burst", b.OrgRequestBurst, &now.OrgRequestBurst, limits.OrgLimitMax},
		{"tokens", b.Tokens, &now.Tokens, limits.OrgLimitMax},
		{"workspaces", b.Workspaces, &now.Workspaces, limits.OrgLimitMax},
		{"attachment_bytes", b.AttachmentBytes, &now.AttachmentBytes, limits.OrgBytesLimitMax},
		{"attachments_bytes", b.AttachmentsBytes, &now.AttachmentsBytes, limits.OrgBytesLimitMax},
		{"running_forwards", b.RunningForwards, &now.RunningForwards, limits.OrgLimitMax},
		{"running_forwards_per_workspace", b.RunningForwardsPerWorkspace, &now.RunningForwardsPerWorkspace, limits.OrgLimitMax},
		{"running_terminals", b.RunningTerminals, &now.RunningTerminals, limits.OrgLimitMax},
		{"running_terminals_per_workspace", b.RunningTerminalsPerWorkspace, &now.RunningTerminalsPerWorkspace, limits.OrgLimitMax},
	} {
		if f.given.is() && (f.given.value < 1 || f.given.value > f.most) {
			return sallyport.Errorf(sallyport.CodeInvalidLimits, "limits.%s must be an integer from 1 to %d", f.name, f.most)
		}
		if f.given.given {
			*f.into = int(f.given.value)
		}
	}
	return nil
}

func (c *call) deleteOrg() error {
	if err := c.api.Administration.DeleteOrg(c.r.Context(), c.by, c.r.PathValue("org")); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
