package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/client/sallyport"
)

// limitFlags are the flags of an organisation's limits.
type limitFlags struct{ values [len(limitFlagNames)]int }

// limitFlagNames are their names, those of the limits, and what they bound.
var limitFlagNames = [...]struct{ flag, limit, meaning string }{
	{"running-execs", "running_execs", "let `N` execs of the organisation run at once"},
	{"running-execs-per-workspace", "running_execs_per_workspace", "let `N` execs run at once on each of its workspaces"},
	{"requests-per-s", "requests_per_s", "let each of its tokens make `N` requests a second"},
	{"request-burst", "request_burst", "let each of its tokens make `N` requests at once"},
	{"org-requests-per-s", "org_requests_per_s", "let all of its tokens together make `N` requests a second"},
	{"org-request-burst", "org_request_burst", "let all of its tokens together make `N` requests at once"},
	{"tokens", "tokens", "let the organisation have `N` live tokens"},
	{"workspaces", "workspaces", "let the organisation have `N` workspaces"},
	{"attachment-bytes", "attachment_bytes", "let each of its attachments have `N` bytes"},
	{"attachments-bytes", "attachments_bytes", "let its live attachments have `N` bytes together"},
	{"running-forwards", "running_forwards", "let `N` forwards of the organisation run at once"},
	{"running-forwards-per-workspace", "running_forwards_per_workspace", "let `N` forwards run at once on each of its workspaces"},
	{"running-terminals", "running_terminals", "let `N` terminals of the organisation run at once"},
	{"running-terminals-per-workspace", "running_terminals_per_workspace", "let `N` terminals run at once on each of its workspaces"},
}

func (l *limitFlags) add(cmd *cobra.Command, none string) {
	for i, f := range limitFlagNames {
		cmd.Flags().IntVar(&l.values[i], f.flag, 0, f.meaning+none)
		complete(cmd, f.flag, cobra.NoFileCompletions)
	}
}

// patch is a JSON merge patch of the limits that were named, nil for none. 0 takes a limit
// away.
func (l *limitFlags) patch(cmd *cobra.Command) (json.RawMessage, error) {
	named := map[string]*int{}
	for i, f := range limitFlagNames {
		switch n := &l.values[i]; {
		case !cmd.Flags().Changed(f.flag):
		case *n < 0:
			return nil, usagef("0 is the server's own limit", "--%s %d is no limit", f.flag, *n)
		case *n == 0:
			named[f.limit] = nil
		default:
			named[f.limit] = n
		}
	}
	if len(named) == 0 {
		return nil, nil
	}
	return json.Marshal(named)
}

// limits are those that were named, for an organisation to be made; nil for none.
func (l *limitFlags) limits(cmd *cobra.Command) (*sallyport.OrgLimits, error) {
	patch, err := l.patch(cmd)
	if patch == nil || err != nil {
		return nil, err
	}
	var set sallyport.OrgLimits
	return &set, json.Unmarshal(patch, &set)
}

// limitsCell shows the limits that an organisation has of its own.
func limitsCell(o sallyport.Org) string {
	if o.Limits == nil {
		return "-"
	}
	var words []string
	for i, n := range [len(limitFlagNames)]int{
		o.Limits.RunningExecs, o.Limits.RunningExecsPerWorkspace, o.Limits.RequestsPerS, o.Limits.RequestBurst,
		o.Limits.OrgRequestsPerS, o.Limits.OrgRequestBurst, o.Limits.Tokens, o.Limits.Workspaces,
		o.Limits.AttachmentBytes, o.Limits.AttachmentsBytes, o.Limits.RunningForwards, o.Limits.RunningForwardsPerWorkspace,
		o.Limits.RunningTerminals, o.Limits.RunningTerminalsPerWorkspace,
	} {
		if n != 0 {
			words = append(words, fmt.Sprintf("%s=%d", limitFlagNames[i].flag, n))
		}
	}
	return strings.Join(words, " ")
}
