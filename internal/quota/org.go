// Package quota holds the limits in force: what an organisation, a token and the
// server as a whole may take.
package quota

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
	"sallyport/internal/store"
)

// OrgStore is the part of the store that Orgs needs.
type OrgStore interface {
	// Org finds an organisation by its id, or returns store.ErrNotFound.
	Org(ctx context.Context, ref string) (store.Org, error)
}

// Orgs knows the limits of each organisation. What the store says is believed for
// limits.OrgLimitsMemoryTime, so that it isn't asked for each request: so late is a change
// that another replica has made. Its fields are set before the first use. It is safe for
// concurrent use.
type Orgs struct {
	Store OrgStore
	// Own are the server's limits, for whatever an organisation has none of its own for.
	Own sallyport.OrgLimits
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	mu    sync.Mutex // guards the fields below, and is not held while the store is asked
	known map[string]*orgKnown
}

// orgKnown is the store's answer for an organisation.
type orgKnown struct {
	limits sallyport.OrgLimits
	until  time.Time
	asking bool // somebody asks anew; others go by what is known
}

// Of returns the limits in force for an organisation; "" is for who belongs to none.
func (o *Orgs) Of(ctx context.Context, orgID string) (sallyport.OrgLimits, error) {
	if orgID == "" {
		return o.Own, nil
	}
	if limits, ok := o.recall(orgID); ok {
		return limits, nil
	}
	org, err := o.Store.Org(ctx, orgID)
	if err != nil && !errors.Is(err, store.ErrNotFound) { // one that is gone has nothing left to limit
		o.Forget(orgID)
		return sallyport.OrgLimits{}, err
	}
	return o.keep(orgID, merge(org.Limits, o.Own)), nil
}

// Forget has the store asked anew about an organisation: its limits have changed.
func (o *Orgs) Forget(orgID string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.known, orgID)
}

func (o *Orgs) recall(orgID string) (sallyport.OrgLimits, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := o.known[orgID]
	switch {
	case k == nil:
		return sallyport.OrgLimits{}, false
	case k.asking || o.now().Before(k.until):
		return k.limits, true
	}
	k.asking = true
	return sallyport.OrgLimits{}, false
}

func (o *Orgs) keep(orgID string, inForce sallyport.OrgLimits) sallyport.OrgLimits {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.known) >= limits.OrgLimitsRemembered {
		clear(o.known)
	}
	if o.known == nil {
		o.known = map[string]*orgKnown{}
	}
	o.known[orgID] = &orgKnown{limits: inForce, until: o.now().Add(limits.OrgLimitsMemoryTime)}
	return inForce
}

func (o *Orgs) now() time.Time {
	if o.Now != nil {
		return o.Now()
	}
	return time.Now()
}

func merge(of, own sallyport.OrgLimits) sallyport.OrgLimits {
	return sallyport.OrgLimits{
		RunningExecs:             cmp.Or(of.RunningExecs, own.RunningExecs),
		RunningExecsPerWorkspace: cmp.Or(of.RunningExecsPerWorkspace, own.RunningExecsPerWorkspace),
		RequestsPerS:             cmp.Or(of.RequestsPerS, own.RequestsPerS),
		RequestBurst:             cmp.Or(of.RequestBurst, own.RequestBurst),
		OrgRequestsPerS:          cmp.Or(of.OrgRequestsPerS, own.OrgRequestsPerS),
		OrgRequestBurst:          cmp.Or(of.OrgRequestBurst, own.OrgRequestBurst),
		Tokens:                   cmp.Or(of.Tokens, own.Tokens),
		Workspaces:               cmp.Or(of.Workspaces, own.Workspaces),
		AttachmentBytes:          cmp.Or(of.AttachmentBytes, own.AttachmentBytes),
		AttachmentsBytes:         cmp.Or(of.AttachmentsBytes, own.AttachmentsBytes),

		RunningForwards:              cmp.Or(of.RunningForwards, own.RunningForwards),
		RunningForwardsPerWorkspace:  cmp.Or(of.RunningForwardsPerWorkspace, own.RunningForwardsPerWorkspace),
		RunningTerminals:             cmp.Or(of.RunningTerminals, own.RunningTerminals),
		RunningTerminalsPerWorkspace: cmp.Or(of.RunningTerminalsPerWorkspace, own.RunningTerminalsPerWorkspace),
	}
}
