package gateway

import (
	"context"
	"errors"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/limits"
	"sallyport/internal/live"
	"sallyport/internal/policy"
	"sallyport/internal/remote/files"
	"sallyport/internal/store"
)

// FileTree is the files of one workspace, below its root, for as long as one operation on
// them lasts. What the operation reads from its caller goes through FromCaller, and what it
// writes to it through ToCaller.
type FileTree struct {
	*files.Tree
	*stall
	// Alone keeps other conditional changes of a path, through this server, waiting until
	// the returned function is called.
	Alone func(path string) (done func())

	orgID string
}

// What an operation on files takes and returns is package files'.
type (
	// FileEntry is files.Entry.
	FileEntry = files.Entry
	// FileSpan is files.Span.
	FileSpan = files.Span
	// FileWalk is files.Walk.
	FileWalk = files.Walk
	// FileMatch is files.Match.
	FileMatch = files.Match
	// FilePut is files.Put.
	FilePut = files.Put
	// FileChange is files.Change.
	FileChange = files.Change
	// FilePlacing is files.Placing.
	FilePlacing = files.Placing
)

// FileStagePrefix is files.StagePrefix.
const FileStagePrefix = files.StagePrefix

// ErrFileStop and ErrFileSkip end a walk, and leave an entry out of a search.
var (
	ErrFileStop = files.ErrStop
	ErrFileSkip = files.ErrSkip
)

// IsOwnFile tells whether a name is the server's own, which is neither shown nor taken.
func IsOwnFile(name string) bool { return files.IsOwn(name) }

// FileOutcome holds the fields that an operation on files adds to its row.
type FileOutcome = audit.FileOutcome

// File is one operation on a workspace's files.
type File struct {
	// Op is one of sallyport's file operations.
	Op string
	// Path and To are relative to the root, and have been checked.
	Path, To string
	// Offset is that of a range, or of a resumed upload; nil is none.
	Offset *int64
	// Writes tells that the operation takes files:write; Reads that it takes files:read.
	// Attachments tells that it takes attachments. One of them is set, or more.
	Writes, Reads, Attachments bool
	// Slow is set for operations with content, and for those that recurse: the machine may
	// do nothing for limits.FileStallTime, and else for limits.FileAnswerTime.
	Slow bool
	// Recorded is called once the operation's row is on disk, with its id, before the
	// machine is touched.
	Recorded func(rowID string)
}

// File does one operation on a workspace's files, and leaves one row. do does it, on the
// tree, and says in outcome what the row is to hold, also beside an error. File returns
// when the row is complete: workspace_not_found, scope_forbidden, workspace_has_no_host,
// too_many_transfers, platform_unavailable, the codes of reaching a machine, do's error, or
// what ended the call.
func (g *Gateway) File(ctx context.Context, by Caller, ref Ref, f File, do func(ctx context.Context, tree *FileTree, outcome *FileOutcome) error) (err error) {
	ctx, a, err := g.begin(ctx, by, ref, g.fileSpec(f))
	if err != nil {
		return err
	}
	return a.onTree(ctx, f, do)
}

// onTree does the operation of an act whose row has begun, and ends the act.
func (a *act) onTree(ctx context.Context, f File, do func(ctx context.Context, tree *FileTree, outcome *FileOutcome) error) (err error) {
	defer func() { a.close(ctx, err) }()
	began := time.Now()
	var outcome audit.FileOutcome
	if err = a.durable(); err == nil {
		a.report.Started = time.Now()
		err = a.onFiles(ctx, f.patience(), &outcome, do)
	}
	if a.refused {
		return err
	}
	if ctx.Err() != nil && err != nil && !isFileError(err) {
		err = context.Cause(ctx)
	}
	a.report.Ended = time.Now()
	outcome.Duration = time.Since(began)
	end, err := concludeFile(outcome, err)
	if notKept := a.finish(end); notKept != nil {
		return notKept
	}
	return err
}

// onFiles does the operation over sessions of the act, watched for a machine that stalls.
func (a *act) onFiles(ctx context.Context, patience time.Duration, outcome *audit.FileOutcome, do func(context.Context, *FileTree, *FileOutcome) error) error {
	ctx, machine, stop := newFileMachine(ctx, a, patience)
	defer stop()
	return do(ctx, a.tree(machine), outcome)
}

// tree is the files of the act's workspace.
func (a *act) tree(machine *fileMachine) *FileTree {
	tree := &files.Tree{Machine: machine, Root: a.ws.Connector.Root}
	alone := func(path string) func() { return a.g.fileLocks.lock(a.ws.ID + "/" + path) }
	return &FileTree{tree, machine.stall, alone, a.ws.OrgID}
}

// patience is how long the machine may do nothing.
func (f File) patience() time.Duration {
	if f.Slow {
		return limits.FileStallTime
	}
	return limits.FileAnswerTime
}

func (g *Gateway) fileSpec(f File) actSpec {
	var rules []policy.Rule
	if f.Attachments {
		rules = append(rules, g.Access.Rules.Attachments)
	}
	if f.Writes {
		rules = append(rules, g.Access.Rules.WriteFiles)
	}
	if f.Reads {
		rules = append(rules, g.Access.Rules.ReadFiles)
	}
	return actSpec{
		kind: kind{
			rowType: sallyport.ActivityFile, class: store.ClassTransfer, tried: "files: " + f.Op, rules: rules, drain: live.Waits,
		},
		detail:   audit.File{Op: f.Op, Path: f.Path, To: f.To, Offset: f.Offset},
		recorded: f.Recorded,
	}
}

// concludeFile says what became of an operation: in its row, and to its caller.
func concludeFile(outcome audit.FileOutcome, err error) (audit.End, error) {
	end := audit.End{Status: sallyport.StatusOK, Outcome: outcome}
	known, isKnown := errors.AsType[*sallyport.Error](err)
	switch {
	case err == nil:
		return end, err
	case errors.Is(err, context.Canceled), isKnown && (endsCalls(known.Code) || known.Code == sallyport.CodeCanceled):
		canceled := canceledBy(err)
		end.Status = sallyport.StatusCanceled
		if canceled.Code != sallyport.CodeCanceled {
			end.Reason = string(canceled.Code)
		}
		return end, canceled
	case isKnown && known.Code == sallyport.CodeRequestTimeout:
		end.Status, end.Code = sallyport.StatusCanceled, known.Code
		return end, err
	case isKnown:
		end.Status, end.Code, end.Reason = sallyport.StatusError, known.Code, known.Reason
		return end, err
	}
	end.Status, end.Code = sallyport.StatusError, sallyport.CodeInternal
	return end, err
}

// isFileError tells an error that the machine's files gave from what ended the call.
func isFileError(err error) bool {
	switch sallyport.CodeOf(err) {
	case sallyport.CodeInternal, sallyport.CodeExecTransport, sallyport.CodeFileIO, sallyport.CodeFilesUnsupported, sallyport.CodeCanceled:
		return false
	}
	return true
}
