package field

import (
	"fmt"
	"regexp"
	"strings"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// orgLimit is one limit of an organisation, and the most that it may be.
type orgLimit struct {
	name        string
	value, most int
}

// orgLimits are the limits of an organisation by their names.
func orgLimits(l sallyport.OrgLimits) []orgLimit {
	const most, mostBytes = limits.OrgLimitMax, limits.OrgBytesLimitMax
	return []orgLimit{
		{"running_execs", l.RunningExecs, most}, {"running_execs_per_workspace", l.RunningExecsPerWorkspace, most},
		{"requests_per_s", l.RequestsPerS, most}, {"request_burst", l.RequestBurst, most},
		{"org_requests_per_s", l.OrgRequestsPerS, most}, {"org_request_burst", l.OrgRequestBurst, most},
		{"tokens", l.Tokens, most}, {"workspaces", l.Workspaces, most},
		{"attachment_bytes", l.AttachmentBytes, mostBytes}, {"attachments_bytes", l.AttachmentsBytes, mostBytes},
		{"running_forwards", l.RunningForwards, most}, {"running_forwards_per_workspace", l.RunningForwardsPerWorkspace, most},
		{"running_terminals", l.RunningTerminals, most}, {"running_terminals_per_workspace", l.RunningTerminalsPerWorkspace, most},
	}
}

// CheckLimits returns invalid_limits. It takes 0 for a limit that isn't set.
func CheckLimits(l sallyport.OrgLimits) error {
	for _, limit := range orgLimits(l) {
		if limit.value < 0 || limit.value > limit.most {
			return sallyport.Errorf(sallyport.CodeInvalidLimits, "limits.%s must be an integer from 1 to %d", limit.name, limit.most)
		}
	}
	return nil
}

// LimitChanges names the limits that differ, with their new values.
func LimitChanges(was, now sallyport.OrgLimits) string {
	var words strings.Builder
	before := orgLimits(was)
	for i, limit := range orgLimits(now) {
		switch {
		case limit.value == before[i].value:
		case limit.value == 0:
			fmt.Fprintf(&words, " %s=server's", limit.name)
		default:
			fmt.Fprintf(&words, " %s=%d", limit.name, limit.value)
		}
	}
	return words.String()
}

// What IAM takes (its API reference, AssumeRole), the ARN by its parts.
const (
	rolePattern        = `^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]{1,576}$`
	externalIDPattern  = `^([A-Za-z0-9+=,.@:/_-]{2,})?$`
	externalIDCharsMax = 1224
)

// CheckAWS returns invalid_aws.
func CheckAWS(aws sallyport.OrgAWS) error {
	if !regexp.MustCompile(rolePattern).MatchString(aws.RoleARN) {
		return sallyport.Errorf(sallyport.CodeInvalidAWS, "aws.role_arn must be a role's ARN, such as arn:aws:iam::123456789012:role/sallyport")
	}
	if len(aws.ExternalID) > externalIDCharsMax || !regexp.MustCompile(externalIDPattern).MatchString(aws.ExternalID) {
		return sallyport.Errorf(sallyport.CodeInvalidAWS, "aws.external_id must be 2 to 1224 letters, digits, and + = , . @ : / _ -")
	}
	return nil
}
