// Package storetest is the behaviour that every engine of package store has in
// common, as a suite of tests that each engine runs.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/keys"
	"sallyport/internal/store"
)

// Engine is all that a store can do. No user of a store needs so much: each
// declares the few methods that it calls.
//
// A change is one transaction, and durable when its method returns nil, but for
// CommitActivity, which says. Errors wrap those of package store; any other
// means that the store could not answer. Records come back with their times in
// UTC, cut to microseconds, and with labels and scopes that are empty, not nil.
type Engine interface {
	Ping(ctx context.Context) error
	Close() error

	CreateOrg(ctx context.Context, org store.Org, change store.ActivityChange) error
	Org(ctx context.Context, ref string) (store.Org, error)
	Orgs(ctx context.Context, page store.Page) ([]store.Positioned[store.Org], error)
	UpdateOrg(ctx context.Context, orgID string,
		change func(*store.Org) (store.ActivityChange, error)) (store.Org, error)
	DeleteOrg(ctx context.Context, orgID string, change store.ActivityChange) error

	CreateWorkspace(ctx context.Context, ws store.Workspace, most int, change store.ActivityChange) error
	Workspace(ctx context.Context, orgID, ref string) (store.Workspace, error)
	Workspaces(ctx context.Context, orgID string, page store.Page) ([]store.Positioned[store.Workspace], error)
	UpdateWorkspace(ctx context.Context, orgID, workspaceID string,
		change func(*store.Workspace) (store.ActivityChange, error)) (store.Workspace, error)
	SealedKeys(ctx context.Context, page store.Page) ([]store.Positioned[store.SealedKey], error)
	ResealWorkspaceKey(ctx context.Context, workspaceID string, was, sealed []byte) error
	DeleteWorkspace(ctx context.Context, orgID, workspaceID string, change store.ActivityChange) error

	CreateToken(ctx context.Context, tok store.Token, most int, change store.ActivityChange) error
	TokenByHash(ctx context.Context, hash [32]byte) (store.Token, error)
	Token(ctx context.Context, orgID, workspaceID, tokenID string) (store.Token, error)
	Tokens(ctx context.Context, orgID, workspaceID string, page store.Page) ([]store.Positioned[store.Token], error)
	RevokeToken(ctx context.Context, orgID, workspaceID, tokenID string, at time.Time, change store.ActivityChange) error
	RevokeTokensNamed(ctx context.Context, orgID, name string, at time.Time) error

	CreateSession(ctx context.Context, s store.Session, now time.Time, most int) error
	SessionByHash(ctx context.Context, hash [32]byte) (store.Session, error)
	DeleteSession(ctx context.Context, hash [32]byte) error

	CAKeys(ctx context.Context, orgID string) ([]keys.CAKey, error)
	AllCAKeys(ctx context.Context, page store.Page) ([]store.Positioned[keys.CAKey], error)
	OrgsWithoutCA(ctx context.Context, most int) ([]string, error)
	AddFirstCAKey(ctx context.Context, key keys.CAKey) error
	ResealCAKey(ctx context.Context, keyID string, sealed []byte) error
	StaleMachines(ctx context.Context, most int) ([]store.StaleMachine, error)
	ForgetSharedCA(ctx context.Context) error
	HasSealed(ctx context.Context) (bool, error)
	RotateCA(ctx context.Context, orgID string,
		rotate func([]keys.CAKey) (keys.CARotation, store.ActivityChange, error)) error

	CommitActivity(ctx context.Context, changes []store.ActivityChange, durable bool) error
	Activity(ctx context.Context, orgID, rowID string) (store.Activity, error)
	Activities(ctx context.Context, filter store.ActivityFilter,
		page store.Page) ([]store.Positioned[store.Activity], error)
	Events(ctx context.Context, orgID string, page store.Page) ([]store.Positioned[store.Activity], error)
	LastSeq(ctx context.Context, orgID string) (int64, error)

	ReserveAttachment(ctx context.Context, a store.Attachment, room store.AttachmentRoom) error
	KeepAttachments(ctx context.Context, orgID string, kept []store.Attachment) error
	Attachment(ctx context.Context, orgID, workspaceID, attachmentID string, at time.Time) (store.Attachment, error)
	Attachments(ctx context.Context, orgID, workspaceID string, at time.Time,
		page store.Page) ([]store.Positioned[store.Attachment], error)
	DeleteAttachment(ctx context.Context, orgID, attachmentID string) error
	ExpireAttachment(ctx context.Context, orgID, attachmentID string, at time.Time) error
	PostponeAttachment(ctx context.Context, orgID, attachmentID string, until time.Time) error
	ClaimExpiredAttachments(ctx context.Context, at, until time.Time, most int) ([]store.Attachment, error)

	TakeLease(ctx context.Context, replica, url string, life time.Duration) error
	RenewLease(ctx context.Context, replica string, life time.Duration) error
	EndLease(ctx context.Context, replica string) error
	Replicas(ctx context.Context) ([]string, error)
	ReplicaURL(ctx context.Context, replica string) (string, error)
	AdoptActs(ctx context.Context, replica string, most int) ([]store.Activity, error)
}

// test is one test of the suite.
type test struct {
	name string
	run  func(t *testing.T, e Engine)
}

// Run runs the suite. For each test open returns an engine without records,
// and sees to it that it is closed when the test ends.
func Run(t *testing.T, open func(t *testing.T) Engine) {
	tests := append([]test{
		{"Orgs", testOrgs},
		{"OrgAWS", testOrgAWS},
		{"OrgLimits", testOrgLimits},
		{"OrgErrors", testOrgErrors},
		{"OrgsListing", testOrgsListing},
		{"UpdateOrg", testUpdateOrg},
		{"DeleteOrg", testDeleteOrg},
		{"Workspaces", testWorkspaces},
		{"WorkspaceErrors", testWorkspaceErrors},
		{"WorkspacesListing", testWorkspacesListing},
		{"UpdateWorkspace", testUpdateWorkspace},
		{"UpdateWorkspaceAborted", testUpdateWorkspaceAborted},
		{"UpdateWorkspaceConcurrently", testUpdateWorkspaceConcurrently},
		{"SealedKeys", testSealedKeys},
		{"DeleteWorkspace", testDeleteWorkspace},
		{"Tokens", testTokens},
		{"TokenErrors", testTokenErrors},
		{"TokensListing", testTokensListing},
		{"TokensAreCounted", testTokensAreCounted},
		{"WorkspacesAreCounted", testWorkspacesAreCounted},
		{"RevokeToken", testRevokeToken},
		{"RevokeTokensNamed", testRevokeTokensNamed},
		{"Sessions", testSessions},
		{"CAKeys", testCAKeys},
		{"FirstCAKeyConcurrently", testFirstCAKeyConcurrently},
		{"RotateCA", testRotateCA},
		{"RotateCAAborted", testRotateCAAborted},
		{"RotateCAConcurrently", testRotateCAConcurrently},
		{"CAOfTwoOrgs", testCAOfTwoOrgs},
		{"ActivityKeepsEveryField", testActivityKeepsEveryField},
		{"ActivityCompletion", testActivityCompletion},
		{"ActivityCompletionOfNothing", testActivityCompletionOfNothing},
		{"ActivitySeq", testActivitySeq},
		{"ActivityBatchIsAllOrNothing", testActivityBatchIsAllOrNothing},
		{"ActivityOutlivesItsOrg", testActivityOutlivesItsOrg},
		{"ActivityFilters", testActivityFilters},
		{"ActivityPagesAreStable", testActivityPagesAreStable},
		{"ActivityOfAllOrgs", testActivityOfAllOrgs},
		{"Claims", testClaims},
		{"ClaimedConcurrently", testClaimedConcurrently},
		{"Quota", testQuota},
		{"QuotaConcurrently", testQuotaConcurrently},
		{"Leases", testLeases},
		{"ReplicaURLs", testReplicaURLs},
		{"LeaseFencesRows", testLeaseFencesRows},
		{"AdoptActs", testAdoptActs},
		{"AdoptConcurrently", testAdoptConcurrently},
		{"Events", testEvents},
		{"PagesAreBounded", testPagesAreBounded},
		{"ActivityConcurrently", testActivityConcurrently},
		{"Isolation", testIsolation},
		{"CanceledContext", testCanceledContext},
		{"ContextCanceledInside", testContextCanceledInside},
		{"Ping", testPing},
		{"Close", testClose},
	}, attachmentTests()...)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, open(t))
		})
	}
}

// all is a page that holds everything that a test makes.
var all = store.Page{Limit: 500}

// start is when tests take place, with the microseconds that a store keeps.
func start() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 89_012_000, time.UTC) }

// newRow returns a row of an act that is done.
func newRow(orgID, workspaceID, kind string) *store.Activity {
	at := start()
	return &store.Activity{Activity: sallyport.Activity{
		ID: id.New(), Type: kind, Status: sallyport.StatusOK, Actor: "admin-token",
		OrgID: orgID, WorkspaceID: workspaceID, Summary: kind, CreatedAt: at, CompletedAt: &at,
	}}
}

// newExec returns the row of an exec that begins.
func newExec(orgID, workspaceID string) *store.Activity {
	row := newRow(orgID, workspaceID, sallyport.ActivityExec)
	row.Status, row.CompletedAt = sallyport.StatusRunning, nil
	row.Argv, row.Class = []string{"true"}, store.ClassExec
	return row
}

func write(rows ...*store.Activity) []store.ActivityChange {
	changes := make([]store.ActivityChange, len(rows))
	for i, row := range rows {
		changes[i].Row = row
	}
	return changes
}

// completion returns the change that completes the row, with the result.
func completion(row *store.Activity, exitCode int) store.ActivityChange {
	done := *row
	at := start().Add(time.Second)
	done.Status, done.CompletedAt, done.ExitCode = sallyport.StatusOK, &at, &exitCode
	if exitCode != 0 {
		done.Status = sallyport.StatusError
	}
	return store.ActivityChange{Complete: true, Row: &done}
}

// noted is the activity of a change that a test is not interested in.
func noted(orgID string) store.ActivityChange {
	return store.ActivityChange{Row: newRow(orgID, "", sallyport.ActivityWorkspaceUpdated)}
}

// running returns the rows that are not complete, oldest first.
func running(ctx context.Context, t fataler, e Engine) []store.Activity {
	t.Helper()
	found := records(t, value(e.Activities(ctx, store.ActivityFilter{Status: sallyport.StatusRunning}, all))(t), true)
	slices.Reverse(found)
	return found
}

func mustOrg(t testing.TB, e Engine, name string) store.Org {
	t.Helper()
	org := store.Org{ID: id.New(), Name: name, CreatedAt: start()}
	must(t, e.CreateOrg(t.Context(), org, noted(org.ID)))
	return org
}

func mustWorkspace(t testing.TB, e Engine, orgID, name string) store.Workspace {
	t.Helper()
	ws := store.Workspace{
		ID: id.New(), OrgID: orgID, Name: name, Tier: sallyport.TierFullHost,
		Labels: map[string]string{}, CreatedAt: start(), UpdatedAt: start(),
	}
	must(t, e.CreateWorkspace(t.Context(), ws, 0, noted(orgID)))
	return ws
}

func newToken(orgID, workspaceID, name string) store.Token {
	tok := store.Token{
		ID: id.New(), OrgID: orgID, WorkspaceID: workspaceID, Name: name, Prefix: "sp_org_" + name,
		Scopes: sallyport.DefaultScopes(), CreatedAt: start(), ExpiresAt: start().Add(time.Hour),
	}
	copy(tok.Hash[:], tok.ID)
	return tok
}

func mustToken(t testing.TB, e Engine, orgID, workspaceID, name string) store.Token {
	t.Helper()
	tok := newToken(orgID, workspaceID, name)
	must(t, e.CreateToken(t.Context(), tok, 0, noted(orgID)))
	return tok
}

// fataler is what a test and a property test have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func must(t fataler, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("unexpected error: %v", err)
	}
}

func value[T any](v T, err error) func(t fataler) T {
	return func(t fataler) T {
		t.Helper()
		must(t, err)
		return v
	}
}

func wantError(t fataler, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v, want %v", err, want)
	}
}

// wantOther demands an error that says that the store could not answer.
func wantOther(t fataler, err error) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error")
	}
	for _, known := range []error{store.ErrNotFound, store.ErrConflict, store.ErrNotEmpty, store.ErrTooMany, store.ErrLeaseLost} {
		if errors.Is(err, known) {
			t.Fatalf("error is %v, which is an answer", err)
		}
	}
}

func wantEqual(t fataler, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %s\nwant %s", describe(got), describe(want))
	}
}

// describe shows what pointers point to, one element of a slice a line.
func describe(v any) string {
	r := reflect.ValueOf(v)
	if r.Kind() != reflect.Slice {
		return describeOne(v)
	}
	s := ""
	for i := range r.Len() {
		s += "\n  " + describeOne(r.Index(i).Interface())
	}
	return s
}

func describeOne(v any) string {
	if row, ok := v.(store.Activity); ok {
		exit := "-"
		if row.ExitCode != nil {
			exit = fmt.Sprint(*row.ExitCode)
		}
		return fmt.Sprintf("%+v exit=%s completed=%v", row, exit, row.CompletedAt)
	}
	return fmt.Sprintf("%+v", v)
}

// records strips a listing of its positions, which must lie in one order.
func records[T any](t fataler, listing []store.Positioned[T], newestFirst bool) []T {
	t.Helper()
	rs := make([]T, len(listing))
	for i, p := range listing {
		rs[i] = p.Record
		if i > 0 && (p.Position < listing[i-1].Position) != newestFirst {
			t.Fatalf("position %d follows %d", p.Position, listing[i-1].Position)
		}
		if p.Position <= 0 {
			t.Fatalf("position %d", p.Position)
		}
	}
	return rs
}

// pages reads a listing page by page.
func pages[T any](
	t fataler, limit int, list func(store.Page) ([]store.Positioned[T], error),
) []store.Positioned[T] {
	t.Helper()
	var listing []store.Positioned[T]
	page := store.Page{Limit: limit}
	for {
		part, err := list(page)
		must(t, err)
		if len(part) > limit {
			t.Fatalf("a page of %d records, want at most %d", len(part), limit)
		}
		listing = append(listing, part...)
		if len(part) < limit {
			return listing
		}
		page.After = part[len(part)-1].Position
	}
}
