package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"sallyport"
	"sallyport/internal/id"
	"sallyport/internal/keys"
	"sallyport/internal/store"
)

func newCAKey() keys.CAKey {
	keyID := id.New()
	return keys.CAKey{ID: keyID, PublicKey: "ssh-ed25519 " + keyID, Sealed: []byte("\x00sealed\xff" + keyID), CreatedAt: start()}
}

// rotate replaces the newest key, whatever keys there are.
func rotate(ctx context.Context, e Engine, next keys.CAKey, othersEndAt time.Time) error {
	return e.RotateCA(ctx, func([]keys.CAKey) (keys.CARotation, store.ActivityChange, error) {
		return keys.CARotation{Next: next, OthersEndAt: othersEndAt}, noted(""), nil
	})
}

func testCAKeys(t *testing.T, e Engine) {
	ctx := t.Context()
	wantEqual(t, len(value(e.CAKeys(ctx))(t)), 0)
	first := newCAKey()
	must(t, e.AddFirstCAKey(ctx, first))
	wantEqual(t, value(e.CAKeys(ctx))(t), []keys.CAKey{first})

	must(t, e.AddFirstCAKey(ctx, newCAKey()))
	must(t, e.AddFirstCAKey(ctx, first))
	wantEqual(t, value(e.CAKeys(ctx))(t), []keys.CAKey{first})

	first.Sealed = []byte("sealed anew")
	must(t, e.ResealCAKey(ctx, first.ID, first.Sealed))
	must(t, e.ResealCAKey(ctx, id.New(), []byte("of nobody")))
	wantEqual(t, value(e.CAKeys(ctx))(t), []keys.CAKey{first})
	wantEqual(t, len(value(e.Activities(ctx, store.ActivityFilter{}, all))(t)), 0)
}

// testFirstCAKeyConcurrently demands that everyone ends with the same key.
func testFirstCAKeyConcurrently(t *testing.T, e Engine) {
	var group sync.WaitGroup
	found := make([][]keys.CAKey, 8)
	for i := range found {
		group.Go(func() {
			err := e.AddFirstCAKey(t.Context(), newCAKey())
			if err == nil {
				found[i], err = e.CAKeys(t.Context())
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
	ctx := t.Context()
	first, second, third := newCAKey(), newCAKey(), newCAKey()
	second.CreatedAt, third.CreatedAt = start().Add(time.Hour), start().Add(2*time.Hour)
	must(t, e.AddFirstCAKey(ctx, first))

	end := start().Add(24 * time.Hour)
	row := newRow("", "", sallyport.ActivityCARotated)
	must(t, e.RotateCA(ctx, func(have []keys.CAKey) (keys.CARotation, store.ActivityChange, error) {
		wantEqual(t, have, []keys.CAKey{first})
		return keys.CARotation{Next: second, OthersEndAt: end}, store.ActivityChange{Row: row}, nil
	}))
	first.EndsAt = end
	wantEqual(t, value(e.CAKeys(ctx))(t), []keys.CAKey{second, first})
	wantEqual(t, value(e.Activity(ctx, "", row.ID))(t), *row)
	must(t, e.AddFirstCAKey(ctx, newCAKey()))
	wantEqual(t, len(value(e.CAKeys(ctx))(t)), 2)

	// An end that is sooner stays.
	must(t, rotate(ctx, e, third, end.Add(time.Hour)))
	second.EndsAt = end.Add(time.Hour)
	wantEqual(t, value(e.CAKeys(ctx))(t), []keys.CAKey{third, second, first})

	// What has ended goes, at once too.
	fourth := newCAKey()
	fourth.CreatedAt = end
	must(t, rotate(ctx, e, fourth, end.Add(time.Minute)))
	third.EndsAt, second.EndsAt = end.Add(time.Minute), end.Add(time.Minute)
	wantEqual(t, value(e.CAKeys(ctx))(t), []keys.CAKey{fourth, third, second})
	fifth := newCAKey()
	fifth.CreatedAt = end
	must(t, rotate(ctx, e, fifth, end))
	wantEqual(t, value(e.CAKeys(ctx))(t), []keys.CAKey{fifth})
}

func testRotateCAAborted(t *testing.T, e Engine) {
	ctx := t.Context()
	first := newCAKey()
	must(t, e.AddFirstCAKey(ctx, first))
	refused := errors.New("refused")
	err := e.RotateCA(ctx, func([]keys.CAKey) (keys.CARotation, store.ActivityChange, error) {
		return keys.CARotation{}, store.ActivityChange{}, refused
	})
	wantEqual(t, err, refused)
	same := newCAKey()
	same.PublicKey = first.PublicKey
	wantOther(t, rotate(ctx, e, same, start().Add(time.Hour)))
	canceled, cancel := context.WithCancel(ctx)
	err = e.RotateCA(canceled, func([]keys.CAKey) (keys.CARotation, store.ActivityChange, error) {
		cancel()
		return keys.CARotation{Next: newCAKey(), OthersEndAt: start()}, noted(""), nil
	})
	wantError(t, err, context.Canceled)
	wantEqual(t, value(e.CAKeys(ctx))(t), []keys.CAKey{first})
	wantEqual(t, len(value(e.Activities(ctx, store.ActivityFilter{}, all))(t)), 0)
}

// testRotateCAConcurrently demands that each rotation sees those before it.
func testRotateCAConcurrently(t *testing.T, e Engine) {
	must(t, e.AddFirstCAKey(t.Context(), newCAKey()))
	const rotations = 8
	var group sync.WaitGroup
	seen := make(chan int, rotations)
	for range rotations {
		group.Go(func() {
			err := e.RotateCA(t.Context(), func(have []keys.CAKey) (keys.CARotation, store.ActivityChange, error) {
				seen <- len(have)
				return keys.CARotation{Next: newCAKey(), OthersEndAt: start().Add(time.Hour)}, noted(""), nil
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
	have := value(e.CAKeys(t.Context()))(t)
	for i, key := range have {
		wantEqual(t, key.EndsAt.IsZero(), i == 0)
	}
	wantEqual(t, len(have), rotations+1)
}
