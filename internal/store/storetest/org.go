package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/store"
)

func testOrgs(t *testing.T, e Engine) {
	ctx := t.Context()
	org := store.Org{ID: id.New(), Name: "acme", CreatedAt: start().In(time.FixedZone("", 3600))}
	row := newRow(org.ID, "", sallyport.ActivityOrgCreated)
	must(t, e.CreateOrg(ctx, org, store.ActivityChange{Row: row}))
	if row.Seq != 1 || row.WrittenSeq != 1 {
		t.Fatalf("the first row of an organisation has seq %d, written %d", row.Seq, row.WrittenSeq)
	}

	org.CreatedAt = org.CreatedAt.UTC()
	wantEqual(t, value(e.Org(ctx, org.ID))(t), org)
	wantEqual(t, value(e.Org(ctx, "acme"))(t), org)
	wantEqual(t, value(e.Activity(ctx, org.ID, row.ID))(t), *row)
}

// testOrgAWS demands that an organisation's access to AWS is kept, changed, and taken away.
func testOrgAWS(t *testing.T, e Engine) {
	ctx := t.Context()
	org := store.Org{ID: id.New(), Name: "acme", CreatedAt: start(), AWS: sallyport.OrgAWS{RoleARN: "arn:aws:iam::123456789012:role/a", ExternalID: "x"}}
	must(t, e.CreateOrg(ctx, org, noted(org.ID)))
	for _, aws := range []sallyport.OrgAWS{org.AWS, {RoleARN: "arn:aws:iam::123456789012:role/b"}, {}} {
		value(e.UpdateOrg(ctx, org.ID, func(o *store.Org) (store.ActivityChange, error) {
			o.AWS = aws
			return noted(org.ID), nil
		}))(t)
		org.AWS = aws
		wantEqual(t, value(e.Org(ctx, "acme"))(t), org)
		wantEqual(t, value(e.Orgs(ctx, all))(t)[0].Record, org)
	}
}

// testOrgLimits demands the same of its limits.
func testOrgLimits(t *testing.T, e Engine) {
	ctx := t.Context()
	org := store.Org{ID: id.New(), Name: "acme", CreatedAt: start(), Limits: sallyport.OrgLimits{RunningExecs: 1, RunningExecsPerWorkspace: 2, RequestsPerS: 3, RequestBurst: 4, OrgRequestsPerS: 5, OrgRequestBurst: 6}}
	must(t, e.CreateOrg(ctx, org, noted(org.ID)))
	for _, limits := range []sallyport.OrgLimits{org.Limits, {RunningExecs: 7}, {}} {
		value(e.UpdateOrg(ctx, org.ID, func(o *store.Org) (store.ActivityChange, error) {
			o.Limits = limits
			return noted(org.ID), nil
		}))(t)
		org.Limits = limits
		wantEqual(t, value(e.Org(ctx, "acme"))(t), org)
	}
}

func testOrgErrors(t *testing.T, e Engine) {
	ctx := t.Context()
	org := mustOrg(t, e, "acme")
	twin := store.Org{ID: id.New(), Name: "acme", CreatedAt: start()}
	change := noted(twin.ID)
	wantError(t, e.CreateOrg(ctx, twin, change), store.ErrConflict)
	if change.Row.Seq != 0 {
		t.Fatalf("a change that failed has seq %d", change.Row.Seq)
	}
	for _, ref := range []string{"", "acm", "ACME", id.New(), twin.ID, "a%"} {
		_, err := e.Org(ctx, ref)
		wantError(t, err, store.ErrNotFound)
	}
	_, err := e.Activity(ctx, "", change.Row.ID)
	wantError(t, err, store.ErrNotFound)

	same := store.Org{ID: org.ID, Name: "other", CreatedAt: start()}
	wantOther(t, e.CreateOrg(ctx, same, noted(org.ID)))
	wantOther(t, e.CreateOrg(ctx, store.Org{ID: id.New(), Name: "rowless"}, store.ActivityChange{}))
	_, err = e.Org(ctx, "rowless")
	wantError(t, err, store.ErrNotFound)
}

func testOrgsListing(t *testing.T, e Engine) {
	ctx := t.Context()
	wantEqual(t, len(value(e.Orgs(ctx, all))(t)), 0)
	var want []store.Org
	for i := range 7 {
		// Names and times run backwards: the order is that of making.
		org := store.Org{ID: id.New(), Name: fmt.Sprintf("org-%d", 9-i), CreatedAt: start().Add(-time.Duration(i) * time.Hour)}
		must(t, e.CreateOrg(ctx, org, noted(org.ID)))
		want = append(want, org)
	}
	list := func(page store.Page) ([]store.Positioned[store.Org], error) { return e.Orgs(ctx, page) }
	for _, limit := range []int{1, 2, 3, 7, 8} {
		wantEqual(t, records(t, pages(t, limit, list), false), want)
	}

	must(t, e.DeleteOrg(ctx, want[6].ID, noted(want[6].ID)))
	listing := value(e.Orgs(ctx, all))(t)
	wantEqual(t, records(t, listing, false), want[:6])
	later := mustOrg(t, e, "later")
	rest := value(e.Orgs(ctx, store.Page{Limit: 5, After: listing[5].Position}))(t)
	wantEqual(t, records(t, rest, false), []store.Org{later})
	wantEqual(t, len(value(e.Orgs(ctx, store.Page{}))(t)), 0)
}

func testUpdateOrg(t *testing.T, e Engine) {
	ctx := t.Context()
	org, other := mustOrg(t, e, "acme"), mustOrg(t, e, "other")
	row := newRow(org.ID, "", sallyport.ActivityOrgUpdated)
	rename := func(name string) func(*store.Org) (store.ActivityChange, error) {
		return func(o *store.Org) (store.ActivityChange, error) {
			wantEqual(t, *o, org)
			o.Name = name
			o.ID, o.CreatedAt = other.ID, time.Time{} // not theirs to change
			return store.ActivityChange{Row: row}, nil
		}
	}
	want := org
	want.Name = "acme-2"
	wantEqual(t, value(e.UpdateOrg(ctx, org.ID, rename("acme-2")))(t), want)
	wantEqual(t, value(e.Org(ctx, "acme-2"))(t), want)
	wantEqual(t, value(e.Org(ctx, "other"))(t), other)
	wantEqual(t, value(e.Activity(ctx, org.ID, row.ID))(t).Seq, int64(2))
	_, err := e.Org(ctx, "acme")
	wantError(t, err, store.ErrNotFound)

	org = want
	row = newRow(org.ID, "", sallyport.ActivityOrgUpdated)
	_, err = e.UpdateOrg(ctx, org.ID, rename("other"))
	wantError(t, err, store.ErrConflict)
	_, err = e.UpdateOrg(ctx, id.New(), rename("new"))
	wantError(t, err, store.ErrNotFound)

	refusal := errors.New("no")
	_, err = e.UpdateOrg(ctx, org.ID, func(o *store.Org) (store.ActivityChange, error) {
		o.Name = "refused"
		return store.ActivityChange{}, refusal
	})
	wantEqual(t, err, refusal) // the caller's own, as it is
	wantEqual(t, value(e.Org(ctx, org.ID))(t), org)
	_, err = e.Activity(ctx, "", row.ID)
	wantError(t, err, store.ErrNotFound)
}

func testDeleteOrg(t *testing.T, e Engine) {
	ctx := t.Context()
	org := mustOrg(t, e, "acme")
	ws := mustWorkspace(t, e, org.ID, "web")
	tok := mustToken(t, e, org.ID, "", "ci")
	change := store.ActivityChange{Row: newRow(org.ID, "", sallyport.ActivityOrgDeleted)}
	wantError(t, e.DeleteOrg(ctx, org.ID, change), store.ErrNotEmpty)
	must(t, e.DeleteWorkspace(ctx, org.ID, ws.ID, noted(org.ID)))
	wantError(t, e.DeleteOrg(ctx, "acme", change), store.ErrNotFound)
	wantEqual(t, value(e.TokenByHash(ctx, tok.Hash))(t), tok)

	must(t, e.DeleteOrg(ctx, org.ID, change))
	wantEqual(t, change.Row.Seq, int64(5))
	_, err := e.Org(ctx, org.ID)
	wantError(t, err, store.ErrNotFound)
	_, err = e.TokenByHash(ctx, tok.Hash)
	wantError(t, err, store.ErrNotFound)
	wantError(t, e.DeleteOrg(ctx, org.ID, noted(org.ID)), store.ErrNotFound)
	mustOrg(t, e, "acme") // the name is free again
}
