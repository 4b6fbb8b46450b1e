package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/keys"
	"sallyport/internal/store"
)

func newCAKey(orgID string) keys.CAKey {
	keyID := id.New()
	return keys.CAKey{ID: keyID, OrgID: orgID, PublicKey: "ssh-ed25519 " + keyID, Sealed: []byte("\x00sealed\xff" + keyID), CreatedAt: start()}
}

// rotate replaces the organisation's newest key, whatever keys there are.
func rotate(ctx context.Context, e Engine, next keys.CAKey, othersEndAt time.Time) error {
	return e.RotateCA(ctx, next.OrgID, func([]keys.CAKey) (keys.CARotation, store.ActivityChange, error) {
		return keys.CARotation{Next: next, OthersEndAt: othersEndAt}, noted(next.OrgID), nil
	})
}

func testCAKeys(t *testing.T, e Engine) {
	org := mustOrg(t, e, "org").ID
	ctx := t.Context()
	wantEqual(t, len(value(e.CAKeys(ctx, org))(t)), 0)
	first := newCAKey(org)
	must(t, e.AddFirstCAKey(ctx, first))
	wantEqual(t, value(e.CAKeys(ctx, org))(t), []keys.CAKey{first})

	must(t, e.AddFirstCAKey(ctx, newCAKey(org)))
	must(t, e.AddFirstCAKey(ctx, first))
	wantEqual(t, value(e.CAKeys(ctx, org))(t), []keys.CAKey{first})

	first.Sealed = []byte("sealed anew")
	must(t, e.ResealCAKey(ctx, first.ID, first.Sealed))
	must(t, e.ResealCAKey(ctx, id.New(), []byte("of nobody")))
	wantEqual(t, value(e.CAKeys(ctx, org))(t), []keys.CAKey{first})
	wantEqual(t, len(value(e.Activities(ctx, store.ActivityFilter{}, all))(t)), 1) // the organisation's own
}

// testFirstCAKeyConcurrently demands that everyone ends with the same key.
func testFirstCAKeyConcurrently(t *testing.T, e Engine) {
	org := mustOrg(t, e, "org").ID
	var group sync.WaitGroup
	found := make([][]keys.CAKey, 8)
	for i := range found {
		group.Go(func() {
			err := e.AddFirstCAKey(t.Context(), newCAKey(org))
			if err == nil {
				found[i], err = e.CAKeys(t.Context(), org)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, keys := range found {
		wantEqual(t, len(keys), 1)
		wantEqual(t, keys, found[0])
	}
}

func testRotateCA(t *testing.T, e Engine) {
	org := mustOrg(t, e, "org").ID
	ctx := t.Context()
	first, second, third := newCAKey(org), newCAKey(org), newCAKey(org)
	second.CreatedAt, third.CreatedAt = start().Add(time.Hour), start().Add(2*time.Hour)
	must(t, e.AddFirstCAKey(ctx, first))

	end := start().Add(24 * time.Hour)
	row := newRow(org, "", sallyport.ActivityCARotated)
	must(t, e.RotateCA(ctx, org, func(have []keys.CAKey) (keys.CARotation, store.ActivityChange, error) {
		wantEqual(t, have, []keys.CAKey{first})
		return keys.CARotation{Next: second, OthersEndAt: end}, store.ActivityChange{Row: row}, nil
	}))
	first.EndsAt = end
	wantEqual(t, value(e.CAKeys(ctx, org))(t), []keys.CAKey{second, first})
	wantEqual(t, value(e.Activity(ctx, "", row.ID))(t), *row)
	must(t, e.AddFirstCAKey(ctx, newCAKey(org)))
	wantEqual(t, len(value(e.CAKeys(ctx, org))(t)), 2)

	// An end that is sooner stays.
	must(t, rotate(ctx, e, third, end.Add(time.Hour)))
	second.EndsAt = end.Add(time.Hour)
	wantEqual(t, value(e.CAKeys(ctx, org))(t), []keys.CAKey{third, second, first})

	// What has ended goes, at once too.
	fourth := newCAKey(org)
	fourth.CreatedAt = end
	must(t, rotate(ctx, e, fourth, end.Add(time.Minute)))
	third.EndsAt, second.EndsAt = end.Add(time.Minute), end.Add(time.Minute)
	wantEqual(t, value(e.CAKeys(ctx, org))(t), []keys.CAKey{fourth, third, second})
	fifth := newCAKey(org)
	fifth.CreatedAt = end
	must(t, rotate(ctx, e, fifth, end))
	wantEqual(t, value(e.CAKeys(ctx, org))(t), []keys.CAKey{fifth})
}

func testRotateCAAborted(t *testing.T, e Engine) {
	org := mustOrg(t, e, "org").ID
	ctx := t.Context()
	first := newCAKey(org)
	must(t, e.AddFirstCAKey(ctx, first))
	refused := errors.New("refused")
	err := e.RotateCA(ctx, org, func([]keys.CAKey) (keys.CARotation, store.ActivityChange, error) {
		return keys.CARotation{}, store.ActivityChange{}, refused
	})
	wantEqual(t, err, refused)
	same := newCAKey(org)
	same.PublicKey = first.PublicKey
	wantOther(t, rotate(ctx, e, same, start().Add(time.Hour)))
	canceled, cancel := context.WithCancel(ctx)
	err = e.RotateCA(canceled, org, func([]keys.CAKey) (keys.CARotation, store.ActivityChange, error) {
		cancel()
		return keys.CARotation{Next: newCAKey(org), OthersEndAt: start()}, noted(org), nil
	})
	wantError(t, err, context.Canceled)
	wantEqual(t, value(e.CAKeys(ctx, org))(t), []keys.CAKey{first})
	wantEqual(t, len(value(e.Activities(ctx, store.ActivityFilter{}, all))(t)), 1) // the organisation's own
}

// testRotateCAConcurrently demands that each rotation sees those before it.
func testRotateCAConcurrently(t *testing.T, e Engine) {
	org := mustOrg(t, e, "org").ID
	must(t, e.AddFirstCAKey(t.Context(), newCAKey(org)))
	const rotations = 8
	var group sync.WaitGroup
	seen := make(chan int, rotations)
	for range rotations {
		group.Go(func() {
			err := e.RotateCA(t.Context(), org, func(have []keys.CAKey) (keys.CARotation, store.ActivityChange, error) {
				seen <- len(have)
				return keys.CARotation{Next: newCAKey(org), OthersEndAt: start().Add(time.Hour)}, noted(org), nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for want := 1; want <= rotations; want++ {
		wantEqual(t, <-seen, want)
	}
	have := value(e.CAKeys(t.Context(), org))(t)
	for i, key := range have {
		wantEqual(t, key.EndsAt.IsZero(), i == 0)
	}
	wantEqual(t, len(have), rotations+1)
}

// testCAOfTwoOrgs demands that nothing that is done to one organisation's CA shows in
// another's, and that a CA ends with its organisation.
func testCAOfTwoOrgs(t *testing.T, e Engine) {
	ctx := t.Context()
	a, b := mustOrg(t, e, "a").ID, mustOrg(t, e, "b").ID
	wantEqual(t, value(e.HasSealed(ctx))(t), false)
	wantEqual(t, value(e.OrgsWithoutCA(ctx, 500))(t), []string{a, b})
	wantEqual(t, value(e.OrgsWithoutCA(ctx, 1))(t), []string{a})
	ofA, ofB := newCAKey(a), newCAKey(b)
	must(t, e.AddFirstCAKey(ctx, ofA))
	wantEqual(t, value(e.OrgsWithoutCA(ctx, 500))(t), []string{b})
	must(t, e.AddFirstCAKey(ctx, ofB))
	wantEqual(t, value(e.HasSealed(ctx))(t), true)
	wantEqual(t, records(t, value(e.AllCAKeys(ctx, all))(t), false), []keys.CAKey{ofA, ofB})
	wantEqual(t, len(pages(t, 1, func(p store.Page) ([]store.Positioned[keys.CAKey], error) { return e.AllCAKeys(ctx, p) })), 2)

	next := newCAKey(a)
	must(t, rotate(ctx, e, next, next.CreatedAt))
	wantEqual(t, value(e.CAKeys(ctx, a))(t), []keys.CAKey{next})
	wantEqual(t, value(e.CAKeys(ctx, b))(t), []keys.CAKey{ofB})

	must(t, e.DeleteOrg(ctx, a, noted(a)))
	wantEqual(t, len(value(e.CAKeys(ctx, a))(t)), 0)
	wantEqual(t, value(e.CAKeys(ctx, b))(t), []keys.CAKey{ofB})
	wantError(t, e.AddFirstCAKey(ctx, newCAKey(a)), store.ErrNotFound)
	wantError(t, rotate(ctx, e, newCAKey(a), start()), store.ErrNotFound)

	// Without a shared CA of before there is no machine that trusts it.
	wantEqual(t, len(value(e.StaleMachines(ctx, 500))(t)), 0)
	must(t, e.ForgetSharedCA(ctx))
}
