package storetest

import (
	"testing"
	"time"

	"sallyport/internal/store"
)

func newSession(n, token byte) store.Session {
	return store.Session{Hash: [32]byte{n}, TokenHash: [32]byte{31: token}, ExpiresAt: start().Add(time.Hour)}
}

// testSessions demands that sessions are kept until they are deleted or over, and no more
// of one token than it may have.
func testSessions(t *testing.T, e Engine) {
	ctx := t.Context()
	wantThere := func(s store.Session, there bool) {
		t.Helper()
		got, err := e.SessionByHash(ctx, s.Hash)
		if !there {
			wantError(t, err, store.ErrNotFound)
			return
		}
		must(t, err)
		wantEqual(t, got, s)
	}
	first, second, other := newSession(1, 1), newSession(2, 1), newSession(3, 2)
	second.ExpiresAt = start().Add(2 * time.Hour)
	for _, s := range []store.Session{first, second, other} {
		wantThere(s, false)
		must(t, e.CreateSession(ctx, s, start(), 2))
		wantThere(s, true)
	}
	wantThere(first, true)
	wantOther(t, e.CreateSession(ctx, first, start(), 2)) // a hash is one session's
	wantThere(first, true)

	third := newSession(4, 1)
	must(t, e.CreateSession(ctx, third, start(), 2))
	wantThere(first, false)
	wantThere(second, true)
	wantThere(third, true)
	wantThere(other, true)

	must(t, e.DeleteSession(ctx, second.Hash))
	must(t, e.DeleteSession(ctx, second.Hash))
	wantThere(second, false)
	wantThere(third, true)

	last := newSession(5, 3)
	last.ExpiresAt = start().Add(3 * time.Hour)
	must(t, e.CreateSession(ctx, last, start().Add(time.Hour), 2)) // when the others are over
	wantThere(third, false)
	wantThere(other, false)
	wantThere(last, true)
}
