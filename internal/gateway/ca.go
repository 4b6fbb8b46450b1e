package gateway

import (
	"context"
	"time"

	"sallyport"
	"sallyport/internal/keys"
	"sallyport/internal/limits"
	"sallyport/internal/store"
)

// CAStore replaces the SSH CA's key.
type CAStore interface {
	RotateCA(ctx context.Context, rotate func([]keys.CAKey) (keys.CARotation, store.ActivityChange, error)) error
}

// CAKeys shows the public keys of the SSH CA that are in force, newest first, to
// anyone: it is what machines are to trust.
func (g *Gateway) CAKeys(ctx context.Context) (sallyport.List[sallyport.CAKey], error) {
	none := sallyport.List[sallyport.CAKey]{}
	inForce, err := g.CA.Keys(ctx)
	if err != nil {
		return none, caUnavailable(err)
	}
	list := sallyport.List[sallyport.CAKey]{Items: []sallyport.CAKey{}}
	for _, k := range inForce {
		key, err := sallyport.NewCAKey(k.ID, k.PublicKey, k.EndsAt)
		if err != nil {
			return none, err
		}
		list.Items = append(list.Items, key)
	}
	return list, nil
}

// RotateCA makes a new key of the SSH CA, and returns those in force then, newest
// first. The keys before it stay in force for CAOverlap, or end at once. It returns
// scope_forbidden, or too_many_ca_keys.
//
// Its row belongs to no organisation, since the CA is the whole server's.
func (g *Gateway) RotateCA(ctx context.Context, by Caller, req sallyport.CARotate) (sallyport.List[sallyport.CAKey], error) {
	none := sallyport.List[sallyport.CAKey]{}
	if err := g.check(ctx, by, g.Rules.CA, nil, "rotate the SSH CA"); err != nil {
		return none, err
	}
	next, err := g.CA.NewKey()
	if err != nil {
		return none, err
	}
	end := next.CreatedAt.Add(g.CAOverlap)
	if req.Now {
		end = next.CreatedAt
	}
	err = g.CARecords.RotateCA(ctx, func(have []keys.CAKey) (keys.CARotation, store.ActivityChange, error) {
		if !req.Now {
			if err := checkRoom(have, next.CreatedAt); err != nil {
				return keys.CARotation{}, store.ActivityChange{}, err
			}
		}
		change := g.event(by, sallyport.ActivityCARotated, "", "", "SSH CA key %s made; those before it end at %s", next.ID, end.Format(time.RFC3339))
		return keys.CARotation{Next: next, OthersEndAt: end}, change, nil
	})
	if err != nil {
		return none, storeError(err, "CA key")
	}
	g.CA.Forget()
	g.Log.Info("the SSH CA has a new key", "id", next.ID, "public_key", next.PublicKey, "others_end_at", end)
	return g.CAKeys(ctx)
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
