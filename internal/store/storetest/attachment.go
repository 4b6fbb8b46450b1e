package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"sallyport/internal/id"
	"sallyport/internal/store"
)

func attachmentTests() []test {
	return []test{
		{"Attachments", testAttachments},
		{"AttachmentsListing", testAttachmentsListing},
		{"AttachmentsAreCounted", testAttachmentsAreCounted},
		{"ExpiredAttachments", testExpiredAttachments},
	}
}

func newAttachment(ws store.Workspace, size int64) store.Attachment {
	return store.Attachment{
		ID: id.New(), OrgID: ws.OrgID, WorkspaceID: ws.ID, Name: "plän.pdf", Size: size,
		CreatedAt: start(), ExpiresAt: start().Add(time.Hour),
	}
}

// roomy is more than a test needs.
func roomy() store.AttachmentRoom { return store.AttachmentRoom{Bytes: 1 << 40, Count: 1 << 20} }

// mustAttachment makes an attachment, as a request does.
func mustAttachment(t testing.TB, e Engine, a store.Attachment) store.Attachment {
	t.Helper()
	must(t, e.ReserveAttachment(t.Context(), a, roomy()))
	a.MediaType, a.SHA256 = "application/pdf", fmt.Sprintf("%064x", a.Size)
	must(t, e.KeepAttachments(t.Context(), a.OrgID, []store.Attachment{a}))
	return a
}

// testAttachments demands that an attachment is there from when it is kept until it expires,
// is deleted, or its workspace is, and only in its own workspace.
func testAttachments(t *testing.T, e Engine) {
	ctx := t.Context()
	org, other := mustOrg(t, e, "org"), mustOrg(t, e, "other")
	ws, sibling := mustWorkspace(t, e, org.ID, "ws"), mustWorkspace(t, e, org.ID, "sibling")
	wantThere := func(orgID, wsID string, a store.Attachment, at time.Time, want error) {
		t.Helper()
		got, err := e.Attachment(ctx, orgID, wsID, a.ID, at)
		wantError(t, err, want)
		if want == nil {
			wantEqual(t, got, a)
		}
		listed := records(t, value(e.Attachments(ctx, orgID, wsID, at, all))(t), true)
		if has := len(listed) == 1 && listed[0] == a; has != (want == nil) {
			t.Errorf("listed: %+v", listed)
		}
	}
	a := newAttachment(ws, 7)
	must(t, e.ReserveAttachment(ctx, a, roomy()))
	wantThere(org.ID, ws.ID, a, start(), store.ErrNotFound)
	a.Size, a.MediaType, a.SHA256, a.ExpiresAt = 5, "text/plain", "ab", start().Add(2*time.Hour)
	wantError(t, e.KeepAttachments(ctx, other.ID, []store.Attachment{a}), store.ErrNotFound)
	wantError(t, e.KeepAttachments(ctx, org.ID, []store.Attachment{a, newAttachment(ws, 1)}), store.ErrNotFound)
	wantThere(org.ID, ws.ID, a, start(), store.ErrNotFound)
	must(t, e.KeepAttachments(ctx, org.ID, []store.Attachment{a}))
	wantThere(org.ID, ws.ID, a, start(), nil)
	wantThere(org.ID, sibling.ID, a, start(), store.ErrNotFound)
	wantThere(other.ID, ws.ID, a, start(), store.ErrNotFound)
	wantThere(org.ID, ws.ID, a, a.ExpiresAt.Add(-time.Microsecond), nil)
	wantThere(org.ID, ws.ID, a, a.ExpiresAt, store.ErrNotFound)
	wantError(t, e.KeepAttachments(ctx, org.ID, []store.Attachment{a}), store.ErrNotFound)
	wantError(t, e.ReserveAttachment(ctx, a, roomy()), store.ErrTooMany) // it is kept, and stays as it is
	wantThere(org.ID, ws.ID, a, start(), nil)

	wantError(t, e.DeleteAttachment(ctx, other.ID, a.ID), store.ErrNotFound)
	must(t, e.ExpireAttachment(ctx, other.ID, a.ID, start()))
	wantThere(org.ID, ws.ID, a, start(), nil)
	must(t, e.DeleteAttachment(ctx, org.ID, a.ID))
	wantThere(org.ID, ws.ID, a, start(), store.ErrNotFound)
	wantError(t, e.DeleteAttachment(ctx, org.ID, a.ID), store.ErrNotFound)

	a = mustAttachment(t, e, newAttachment(ws, 1))
	must(t, e.DeleteWorkspace(ctx, org.ID, ws.ID, noted(org.ID)))
	wantThere(org.ID, ws.ID, a, start(), store.ErrNotFound)
	wantError(t, e.ReserveAttachment(ctx, newAttachment(ws, 1), roomy()), store.ErrNotFound)
	must(t, e.DeleteWorkspace(ctx, org.ID, sibling.ID, noted(org.ID)))
	must(t, e.DeleteOrg(ctx, org.ID, noted(org.ID)))
}

// testAttachmentsListing demands pages, newest first.
func testAttachmentsListing(t *testing.T, e Engine) {
	ws := mustWorkspace(t, e, mustOrg(t, e, "org").ID, "ws")
	var want []store.Attachment
	for i := range int64(5) {
		want = append([]store.Attachment{mustAttachment(t, e, newAttachment(ws, i))}, want...)
	}
	got := pages(t, 2, func(p store.Page) ([]store.Positioned[store.Attachment], error) {
		return e.Attachments(t.Context(), ws.OrgID, ws.ID, start(), p)
	})
	wantEqual(t, records(t, got, true), want)
}

// testAttachmentsAreCounted demands that an organisation's attachments, and what is reserved
// for others, never hold more than they may, however many come at the same time; and that
// what has expired, and another organisation's, doesn't count.
func testAttachmentsAreCounted(t *testing.T, e Engine) {
	ctx := t.Context()
	org := mustOrg(t, e, "org")
	ws, sibling := mustWorkspace(t, e, org.ID, "ws"), mustWorkspace(t, e, org.ID, "sibling")
	mustAttachment(t, e, newAttachment(mustWorkspace(t, e, mustOrg(t, e, "other").ID, "ws"), 100))
	room := store.AttachmentRoom{Bytes: 10, Count: 3}
	kept := mustAttachment(t, e, newAttachment(ws, 4))
	wantError(t, e.ReserveAttachment(ctx, newAttachment(sibling, 7), room), store.ErrTooMany)
	grown := newAttachment(sibling, 1)
	must(t, e.ReserveAttachment(ctx, grown, room))
	grown.Size = 6
	must(t, e.ReserveAttachment(ctx, grown, room))
	grown.Size = 7
	wantError(t, e.ReserveAttachment(ctx, grown, room), store.ErrTooMany)
	wantError(t, e.ReserveAttachment(ctx, newAttachment(ws, 1), room), store.ErrTooMany)
	empty := newAttachment(ws, 0)
	must(t, e.ReserveAttachment(ctx, empty, room))
	wantError(t, e.ReserveAttachment(ctx, newAttachment(ws, 0), room), store.ErrTooMany) // three are there
	must(t, e.DeleteAttachment(ctx, org.ID, empty.ID))
	must(t, e.ExpireAttachment(ctx, org.ID, grown.ID, start()))
	const each = 2
	wantEqual(t, raced(t, 12, func(int) error {
		return e.ReserveAttachment(ctx, newAttachment(ws, each), store.AttachmentRoom{Bytes: 10, Count: 100})
	}), int64(3))
	late := newAttachment(ws, 10)
	late.CreatedAt = kept.ExpiresAt
	late.ExpiresAt = late.CreatedAt.Add(time.Hour)
	must(t, e.ReserveAttachment(ctx, late, room))
}

// testExpiredAttachments demands that what has expired, and what was given up, is handed out
// to one who takes it away, and to another when that one hasn't in time.
func testExpiredAttachments(t *testing.T, e Engine) {
	ctx := t.Context()
	ws := mustWorkspace(t, e, mustOrg(t, e, "org").ID, "ws")
	other := mustWorkspace(t, e, mustOrg(t, e, "other").ID, "ws")
	kept, pending, alive := newAttachment(ws, 1), newAttachment(other, 2), newAttachment(ws, 3)
	alive.ExpiresAt = start().Add(24 * time.Hour)
	kept = mustAttachment(t, e, kept)
	mustAttachment(t, e, alive)
	must(t, e.ReserveAttachment(ctx, pending, roomy()))
	end, retry := kept.ExpiresAt, kept.ExpiresAt.Add(time.Minute)
	claim := func(at time.Time, most int) map[string]store.Attachment {
		t.Helper()
		found := map[string]store.Attachment{}
		for _, a := range value(e.ClaimExpiredAttachments(ctx, at, at.Add(time.Minute), most))(t) {
			found[a.ID] = a
		}
		return found
	}
	wantEqual(t, claim(end.Add(-time.Microsecond), 10), map[string]store.Attachment{})
	wantEqual(t, len(claim(end, 1)), 1)
	wantEqual(t, len(claim(end, 10)), 1)
	wantEqual(t, len(claim(end, 10)), 0)
	wantError(t, e.KeepAttachments(ctx, pending.OrgID, []store.Attachment{pending}), store.ErrNotFound)
	wantEqual(t, claim(retry, 10), map[string]store.Attachment{kept.ID: kept, pending.ID: pending})
	must(t, e.PostponeAttachment(ctx, kept.OrgID, kept.ID, end.Add(time.Hour)))
	must(t, e.PostponeAttachment(ctx, kept.OrgID, pending.ID, end.Add(time.Hour))) // another organisation's
	wantEqual(t, claim(end.Add(time.Hour-time.Microsecond), 10), map[string]store.Attachment{pending.ID: pending})
	wantEqual(t, claim(end.Add(time.Hour), 10), map[string]store.Attachment{kept.ID: kept})
	must(t, e.DeleteAttachment(ctx, kept.OrgID, kept.ID))
	must(t, e.DeleteAttachment(ctx, pending.OrgID, pending.ID))
	wantEqual(t, len(claim(retry.Add(2*time.Hour), 10)), 0)

	var mu sync.Mutex
	times := map[string]int{}
	for range 10 {
		mustAttachment(t, e, newAttachment(ws, 1))
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			found, err := e.ClaimExpiredAttachments(ctx, end, retry, 4)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, a := range found {
				times[a.ID]++
			}
		})
	}
	group.Wait()
	for id, n := range times {
		if n != 1 {
			t.Errorf("%s was claimed %d times", id, n)
		}
	}
}
