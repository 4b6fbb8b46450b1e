package administration

import (
	"cmp"
	"context"
	"errors"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/access"
	"sallyport/internal/keys"
	"sallyport/internal/limits"
	"sallyport/internal/store"
)

// CAStore replaces the key of an organisation's SSH CA.
type CAStore interface {
	RotateCA(ctx context.Context, orgID string, rotate func([]keys.CAKey) (keys.CARotation, store.ActivityChange, error)) error
}

// CAKeys returns the public keys in force of an organisation's SSH CA, newest first:
// what its machines are to trust. org is an id or a name; empty is the caller's own
// organisation, or the only one of this server. It returns not_found.
func (a *Administration) CAKeys(ctx context.Context, by access.Caller, org string) (sallyport.List[sallyport.CAKey], error) {
	none := sallyport.List[sallyport.CAKey]{}
	if org == "" {
		org = cmp.Or(by.OrgID, a.Access.OnlyOrg)
	}
	if org == "" {
		return none, sallyport.Errorf(sallyport.CodeNotFound, "no such organisation: name the one whose CA is meant with ?org=")
	}
	found, err := a.Access.Org(ctx, by, org)
	if err != nil {
		return none, err
	}
	if err := a.Access.Check(ctx, by, a.Access.Rules.ReadCA, nil, "read the SSH CA"); err != nil {
		return none, err
	}
	return a.caKeys(ctx, found.ID)
}

func (a *Administration) caKeys(ctx context.Context, orgID string) (sallyport.List[sallyport.CAKey], error) {
	none := sallyport.List[sallyport.CAKey]{}
	inForce, err := a.CA.Keys(ctx, orgID)
	switch {
	case errors.Is(err, store.ErrNotFound): // deleted since it was found
		return none, access.NotFound(access.Organisation)
	case err != nil:
		return none, caUnavailable(err)
	}
	list := sallyport.List[sallyport.CAKey]{Items: []sallyport.CAKey{}}
	for _, k := range inForce {
		key, err := sallyport.NewCAKey(k.ID, k.PublicKey, k.CreatedAt, k.EndsAt)
		if err != nil {
			return none, err
		}
		list.Items = append(list.Items, key)
	}
	return list, nil
}

// RotateCA makes a new key of an organisation's SSH CA, and returns the keys in force
// then, newest first. The keys before stay in force for CAOverlap, or end at once. It
// returns not_found, scope_forbidden or too_many_ca_keys.
func (a *Administration) RotateCA(ctx context.Context, by access.Caller, org string, req sallyport.CARotate) (sallyport.List[sallyport.CAKey], error) {
	none := sallyport.List[sallyport.CAKey]{}
	found, err := a.Access.Org(ctx, by, org)
	if err != nil {
		return none, err
	}
	if err := a.Access.Check(ctx, by, a.Access.Rules.RotateCA, nil, "rotate the SSH CA"); err != nil {
		return none, err
	}
	if _, err := a.caKeys(ctx, found.ID); err != nil { // makes the first where there is none
		return none, err
	}
	next, err := a.CA.NewKey(found.ID)
	if err != nil {
		return none, err
	}
	end := next.CreatedAt.Add(a.CAOverlap)
	if req.Now {
		end = next.CreatedAt
	}
	err = a.CARecords.RotateCA(ctx, found.ID, func(have []keys.CAKey) (keys.CARotation, store.ActivityChange, error) {
		if !req.Now {
			if err := checkRoom(have, next.CreatedAt); err != nil {
				return keys.CARotation{}, store.ActivityChange{}, err
			}
		}
		change := a.Access.Event(by, sallyport.ActivityCARotated, found.ID, "", "SSH CA key %s made; those before it end at %s", next.ID, end.Format(time.RFC3339))
		return keys.CARotation{Next: next, OthersEndAt: end}, change, nil
	})
	if err != nil {
		return none, access.StoreError(err, access.Organisation)
	}
	a.Log.Info("an organisation's SSH CA has a new key", "org_id", found.ID, "id", next.ID, "public_key", next.PublicKey, "others_end_at", end)
	return a.caKeys(ctx, found.ID)
}

// checkRoom keeps a new key from being one more than a machine can be offered.
func checkRoom(have []keys.CAKey, at time.Time) error {
	inForce, first := 0, time.Time{}
	for _, k := range have {
		if !k.InForce(at) {
			continue
		}
		inForce++
		if !k.EndsAt.IsZero() && (first.IsZero() || k.EndsAt.Before(first)) {
			first = k.EndsAt
		}
	}
	if inForce < limits.CAKeysMax {
		return nil
	}
	return sallyport.Errorf(sallyport.CodeTooManyCAKeys,
		"%d CA keys are in force, and no machine can be offered more: wait until %s, when the first of them ends, or end them all with now",
		inForce, first.Format(time.RFC3339))
}

func caUnavailable(cause error) error {
	return sallyport.Errorf(sallyport.CodePlatformUnavailable, "the SSH CA's keys can't be read now; try again in a moment").Because(cause)
}
