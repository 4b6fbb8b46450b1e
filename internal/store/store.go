// Package store holds the records that Sallyport keeps and the errors that
// every engine answers with. Engines stand beside it (store/sqlite), users
// declare the few methods they need, and storetest is the suite that each
// engine passes.
package store

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// Errors that an engine returns, wrapped with what was being done. Any other
// error means that the store could not answer: callers fail closed.
var (
	// ErrNotFound: no such record for this caller.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the name is in use.
	ErrConflict = errors.New("name in use")
	// ErrNotEmpty: the organisation still has workspaces.
	ErrNotEmpty = errors.New("not empty")
	// ErrUnwritable: the store is well, but refuses a change for what is in it, whenever it
	// is tried. Nothing was changed.
	ErrUnwritable = errors.New("the store refuses what is in it")
	// ErrTooMany: the organisation has as many of these records as it may.
	ErrTooMany = errors.New("too many")
	// ErrLeaseLost: the replica has no lease any more. What it ran is others' to complete.
	ErrLeaseLost = errors.New("lease lost")
)

// Org is a tenant.
type Org struct {
	ID        string
	Name      string
	CreatedAt time.Time
	// AWS is zero where the organisation has no access of its own.
	AWS sallyport.OrgAWS
	// Limits are those that differ from the server's.
	Limits sallyport.OrgLimits
}

// Workspace is one machine of one organisation.
type Workspace struct {
	ID        string
	OrgID     string
	Name      string
	Tier      int
	Labels    map[string]string
	Connector *sallyport.Connector
	// SealedKey is the private key of a connector that logs in with one, which
	// can't be read without a key from outside the store.
	SealedKey []byte
	// ConnectorVersion counts the changes of the connector that somebody made.
	ConnectorVersion int64
	// ForwardAllow says where forwards may lead; nil is the default, and an empty one nowhere.
	ForwardAllow []string
	// RecordTerminals has every terminal recorded.
	RecordTerminals bool
	CreatedAt       time.Time
	UpdatedAt       time.Time
}

// SealedKey is the private key of a workspace's connector, as it is stored.
type SealedKey struct {
	WorkspaceID string
	Sealed      []byte
}

// StaleMachine is a workspace whose machine may trust the SSH CA that all organisations
// shared once, and not the CA of its own organisation: it has let no server in since.
type StaleMachine struct {
	// Org and Workspace are names.
	Org, Workspace string
	WorkspaceID    string
}

// Token is a token without its secret, which is stored nowhere.
type Token struct {
	ID    string
	OrgID string
	// WorkspaceID is empty on an organisation's token.
	WorkspaceID string
	Name        string
	Prefix      string
	// Hash is the SHA-256 of the whole token.
	Hash      [32]byte
	Scopes    []sallyport.Scope
	CreatedAt time.Time
	// ExpiresAt is zero on a token that lives for ever.
	ExpiresAt time.Time
	// RevokedAt is zero on a live token.
	RevokedAt time.Time
}

// Session is a cookie that stands for a token for a while. Neither secret is stored.
type Session struct {
	// Hash is the SHA-256 of the cookie's value, TokenHash that of the token.
	Hash, TokenHash [32]byte
	ExpiresAt       time.Time
}

// Attachment is a file that somebody handed to a workspace.
type Attachment struct {
	ID          string
	OrgID       string
	WorkspaceID string
	// Name is the file's own, without a directory.
	Name string
	// Size is in bytes.
	Size int64
	// MediaType is what the content looks like, and SHA256 its sum, in hexadecimal.
	MediaType, SHA256 string
	CreatedAt         time.Time
	// ExpiresAt is when the attachment is gone for callers. The record stays until the
	// file is taken away. Of a reservation it is when that is given up.
	ExpiresAt time.Time
}

// AttachmentRoom bounds the attachments of an organisation.
type AttachmentRoom struct {
	// Bytes is how much they may hold together, and Count how many there may be.
	Bytes, Count int64
}

// Page asks for a part of a listing.
type Page struct {
	// Limit is how many records at most, 1 to 500.
	Limit int
	// After is the position of the last record of the page before; 0 starts.
	// Positions come with the records and mean nothing else.
	After int64
	// Bytes ends the page with the record whose size passes it, which is one more than
	// the caller shows, as with Limit; 0 is no bound. Nothing beyond is read.
	Bytes int
}

// Positioned is a record of a listing with its position in it.
type Positioned[T any] struct {
	Record   T
	Position int64
	// Size is how many bytes the record takes as JSON, at most.
	Size int
}

// Activity is one row of the activity log, as it is stored.
type Activity struct {
	sallyport.Activity
	// WrittenSeq is the seq that the row took when it was written; Activity.Seq
	// is that of its last change.
	WrittenSeq int64
	// Replica is the server that runs the act, and that alone may complete its row; empty
	// is none in particular.
	Replica string
	// Class is what the row is counted as while it is running.
	Class Class
	// StreamedStdin is the StdinBytes of an exec whose stdin was streamed, once it has ended:
	// none was passed on when it began. Nil is any other.
	StreamedStdin *int64
	// Detached is what the servers keep of a detached exec, beside what its row shows; nil is
	// any other act.
	Detached *Detached
}

// Detached is what is needed to end a detached exec by rule, whichever server does.
type Detached struct {
	// TokenID is the token that it was started with, whose revocation ends it. Empty is the
	// admin's.
	TokenID string `json:"token_id,omitempty"`
	// TokenWorkspaceID is the workspace whose token it is; empty is the organisation's.
	TokenWorkspaceID string `json:"token_workspace_id,omitempty"`
	// MaxOutputBytes is how much of each stream its machine keeps.
	MaxOutputBytes int64 `json:"max_output_bytes"`
}

// Class is a kind of acts on machines that are counted together, and bounded by a quota.
// Its values are kept by the engines.
type Class int

// The classes.
const (
	// ClassNone is of rows that no quota counts: what is done at once, and what is a part of
	// an act that counts.
	ClassNone Class = iota
	ClassExec
	ClassTerminal
	// ClassTransfer is of files and archives on their way, ClassStream of forwards and
	// displays.
	ClassTransfer
	ClassStream
	// ClassDetached is of execs that outlive their call: they run on without a server, and any
	// server may complete their rows.
	ClassDetached
)

// ActivityChange is one change of the log: a new row, or the completion of one
// that is running. In one commit each takes its organisation's next seq, in
// the order given.
type ActivityChange struct {
	// Complete tells a completion from a new row. A completion changes only a
	// row whose status is running and whose Replica is the same, and is no error when
	// there is none such.
	Complete bool
	// Row is the whole row. The engine fills Row.Seq (and WrittenSeq of a new
	// row) once the commit has succeeded; of a completion that changed nothing
	// Seq is left 0.
	Row *Activity
	// Claim, of a new row, takes an idempotency key along with it; where somebody has
	// that already, nothing is written, and Claim.Taken says who.
	Claim *Claim
	// Quota, of a new row, bounds the running rows of its class, this one among them; where
	// the quota is full, nothing is written, no key is taken, and Quota.Verdict says which.
	Quota *Quota
	// FreeKey, of a completion, gives the row's idempotency key back, if it has one.
	FreeKey bool
}

// Quota is how many rows of one class may be running at once, on all replicas together.
type Quota struct {
	// OfWorkspace and OfOrg are 1 or more.
	OfWorkspace, OfOrg int
	// Verdict is filled in by the engine.
	Verdict QuotaVerdict
}

// QuotaVerdict tells whether a row fits into its quota.
type QuotaVerdict int

// The verdicts: the row fits, or as many as may run on its workspace, or in its
// organisation, do already.
const (
	WithinQuota QuotaVerdict = iota
	WorkspaceFull
	OrgFull
)

// Claim is an idempotency key on its way to be taken within an organisation.
type Claim struct {
	// Hash is the SHA-256 of the key.
	Hash [32]byte
	// Bodies are hashes of what the key is used for: the first is kept, and one that
	// was kept may be any of them.
	Bodies [][]byte
	// At is now, and Life how long a key is kept.
	At   time.Time
	Life time.Duration
	// Taken is filled in where the key is somebody's.
	Taken *Taken
}

// Taken is the exec that has a key.
type Taken struct {
	ExecID string
	// Status is that of its row, and ExitCode its command's, if it has one.
	Status   string
	ExitCode *int
	// Same tells that it was the same body.
	Same bool
}

// ActivityFilter says which rows a listing shows. Empty fields don't filter.
type ActivityFilter struct {
	OrgID       string
	WorkspaceID string
	Type        string
	Status      string
	Actor       string
	// Class is that of acts; ClassNone is any row.
	Class Class
	// Since is inclusive, Until exclusive; both on CreatedAt.
	Since, Until time.Time
	// Query is a substring of the summary, letter for letter (case-sensitive,
	// no wildcards).
	Query string
}

// NameMachines counts and names machines: ORG/WORKSPACE of each.
func NameMachines(stale []StaleMachine) (count, names string) {
	count = strconv.Itoa(len(stale))
	if len(stale) > limits.StaleMachinesTold {
		stale = stale[:limits.StaleMachinesTold]
		count = "more than " + strconv.Itoa(len(stale))
	}
	var words []string
	for _, m := range stale {
		words = append(words, m.Org+"/"+m.Workspace)
	}
	return count, strings.Join(words, ", ")
}
