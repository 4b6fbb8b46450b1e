package gateway

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"sync"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/access"
	"sallyport/internal/audit"
	"sallyport/internal/field"
	"sallyport/internal/id"
	"sallyport/internal/limits"
	"sallyport/internal/remote/files"
	"sallyport/internal/store"
)

// Attach is a request that makes attachments, all or none.
type Attach struct {
	// Copies tells that they are copies of the workspace's files, which takes files:read
	// besides.
	Copies bool
	// Next returns the next file, io.EOF behind the last, or what is wrong with the request.
	// It is called when the content of the file before was read to its end.
	Next func(ctx context.Context) (NewAttachment, error)
	// MediaType tells what a content is from its beginning, files.SniffBytes or all of it.
	MediaType func(head []byte) string
	// Recorded is called once the row of a file is on disk, with its id.
	Recorded func(rowID string)
}

// NewAttachment is one file that is to be an attachment.
type NewAttachment struct {
	// Name is as it was given, in bytes.
	Name string
	// Life is how long the attachment is there.
	Life time.Duration
	// Source is a file of the workspace to copy, a path that has been checked; empty where
	// Content is the file.
	Source string
	// Content returns the content, whose reads don't outlast ctx, and what to call when it
	// is read no more.
	Content func(ctx context.Context) (content io.Reader, done func())
	// SizeMax is how much there can be of Content; -1 where that isn't known.
	SizeMax int64
}

// Attach makes attachments, and leaves one row for each. Beside File's codes it returns
// invalid_attachments, attachment_too_large, and no_space with the reason organisation.
// What came of a request that fails is removed.
func (g *Gateway) Attach(ctx context.Context, by Caller, ref Ref, req Attach) ([]sallyport.Attachment, error) {
	r := &attaching{g: g, by: by, ref: ref, req: req}
	if err := r.decide(ctx); err != nil {
		return nil, err
	}
	err := r.bringAll(ctx)
	if err == nil {
		err = r.keep(ctx)
	}
	if err != nil {
		r.undo(ctx)
	}
	err = r.finish(err)
	r.close(err)
	if err != nil {
		return nil, err
	}
	made := make([]sallyport.Attachment, len(r.files))
	for i, f := range r.files {
		made[i] = wireAttachment(f.record)
	}
	return made, nil
}

// attaching is a request that makes attachments, on its way. The acts of all its files are
// open until it is known what became of the whole.
type attaching struct {
	g   *Gateway
	by  Caller
	ref Ref
	req Attach

	// most bounds each file, and room all of the organisation's.
	most  int64
	room  store.AttachmentRoom
	files []*attached
}

// attached is one file of it.
type attached struct {
	act     *act
	ctx     context.Context // ends when the act is to end
	record  store.Attachment
	life    time.Duration
	outcome FileOutcome
	began   time.Time
	// made tells that something of the file may be on the machine.
	made bool
}

// decide says whether the caller may attach files here, before anything of them is read.
func (r *attaching) decide(ctx context.Context) error {
	a := &act{g: r.g, by: r.by, report: &ActReport{Type: sallyport.ActivityFile, Began: time.Now()}}
	err := a.decide(ctx, r.ref, r.spec(NewAttachment{}, store.Attachment{}).kind)
	if err == nil {
		r.ref.Workspace = a.ws.ID
		err = r.limits(ctx, a.ws.OrgID)
	}
	if err != nil {
		r.g.tell(ctx, a.report, err)
	}
	return err
}

func (r *attaching) limits(ctx context.Context, orgID string) error {
	inForce, err := r.g.Access.OrgLimits(ctx, orgID)
	r.most = int64(cmp.Or(inForce.AttachmentBytes, limits.AttachmentBytes))
	r.room = store.AttachmentRoom{Bytes: int64(cmp.Or(inForce.AttachmentsBytes, limits.AttachmentsBytes)), Count: limits.AttachmentsMax}
	return err
}

func (r *attaching) spec(f NewAttachment, record store.Attachment) actSpec {
	file := File{Op: sallyport.FileOpAttach, Path: files.AttachmentPath(record.ID, record.Name), Attachments: true, Reads: r.req.Copies, Recorded: r.req.Recorded}
	if f.Source != "" {
		file.Path, file.To = f.Source, file.Path
	}
	spec := r.g.fileSpec(file)
	if len(r.files) > 0 {
		spec.class = store.ClassNone // the request's files come one at a time: they count as one
	}
	return spec
}

func (r *attaching) bringAll(ctx context.Context) error {
	for {
		within := ctx
		if n := len(r.files); n > 0 {
			within = r.files[n-1].ctx
		}
		f, err := r.req.Next(within)
		switch {
		case err == io.EOF && len(r.files) == 0:
			return sallyport.Errorf(sallyport.CodeInvalidAttachments, "there is no file in the request: send each as a part with a file name")
		case err == io.EOF:
			return nil
		case err == nil && len(r.files) == limits.AttachmentFilesMax:
			err = sallyport.Errorf(sallyport.CodeInvalidAttachments, "a request has at most %d files", limits.AttachmentFilesMax)
		}
		if err != nil {
			return err
		}
		if err := r.bring(ctx, f); err != nil {
			return err
		}
	}
}

// bring begins the act of one file, and puts it on the machine.
func (r *attaching) bring(ctx context.Context, f NewAttachment) error {
	record := store.Attachment{ID: id.New(), Name: field.AttachmentName(f.Name)}
	ctx, a, err := r.g.begin(ctx, r.by, r.ref, r.spec(f, record))
	if err != nil {
		return err
	}
	record.OrgID, record.WorkspaceID = a.ws.OrgID, a.ws.ID
	file := &attached{act: a, ctx: ctx, record: record, life: f.Life, began: time.Now()}
	r.files = append(r.files, file)
	if err := a.durable(); err != nil {
		return err
	}
	a.report.Started = time.Now()
	ctx, machine, stop := newFileMachine(ctx, a, limits.FileStallTime)
	defer stop()
	tree := a.tree(machine)
	in := &intake{r: r, file: file, ctx: ctx, sum: sha256.New()}
	if f.Source != "" {
		err = in.copy(ctx, tree, f.Source)
	} else {
		err = in.take(ctx, tree, f)
	}
	if ctx.Err() != nil && err != nil && !isFileError(err) {
		err = context.Cause(ctx)
	}
	in.settle()
	return err
}

// keep makes the files attachments.
func (r *attaching) keep(ctx context.Context) error {
	now := r.g.Now().UTC()
	records := make([]store.Attachment, len(r.files))
	for i, f := range r.files {
		if f.ctx.Err() != nil {
			return context.Cause(f.ctx)
		}
		f.record.CreatedAt, f.record.ExpiresAt = now, now.Add(f.life)
		records[i] = f.record
	}
	err := r.g.Attachments.KeepAttachments(ctx, r.files[0].record.OrgID, records)
	if errors.Is(err, store.ErrNotFound) { // the workspace, or what was reserved, has gone meanwhile
		return access.WorkspaceNotFound()
	}
	return access.StoreError(err, "attachment")
}

// undo removes what is on the machine, and gives the room back. What can't be reached now is
// taken away as if it had expired.
func (r *attaching) undo(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.FileAnswerTime)
	defer cancel()
	notRemoved := r.remove(ctx)
	for _, f := range r.files {
		err := notRemoved
		if err == nil {
			err = r.g.Attachments.DeleteAttachment(ctx, f.record.OrgID, f.record.ID)
		} else {
			err = errors.Join(err, r.g.Attachments.ExpireAttachment(ctx, f.record.OrgID, f.record.ID, r.g.Now()))
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			r.g.Log.Warn("what came of an attachment is left until it expires", "workspace", f.record.WorkspaceID, "attachment", f.record.ID, "error", err)
		}
	}
}

// remove removes what there may be of the files.
func (r *attaching) remove(ctx context.Context) error {
	var made []string
	for _, f := range r.files {
		if f.made {
			made = append(made, f.record.ID)
		}
	}
	if len(made) == 0 {
		return nil
	}
	ctx, machine, stop := newFileMachine(ctx, r.files[0].act, limits.FileStallTime)
	defer stop()
	return r.files[0].act.tree(machine).Detach(ctx, made...)
}

// finish completes the rows of all files: they went the same way. It returns what the caller
// is told.
func (r *attaching) finish(err error) error {
	told := err
	for _, f := range r.files {
		f.act.report.Ended = time.Now()
		f.outcome.Duration = time.Since(f.began)
		if err == nil {
			f.outcome.SHA256 = f.record.SHA256
		}
		var end audit.End
		end, told = concludeFile(f.outcome, err)
		if notKept := f.act.finish(end); notKept != nil {
			return notKept
		}
	}
	return told
}

func (r *attaching) close(err error) {
	for _, f := range r.files {
		f.act.close(f.ctx, err)
	}
}

// take puts content on the machine.
func (in *intake) take(ctx context.Context, tree *FileTree, f NewAttachment) error {
	content, done := f.Content(ctx)
	defer done()
	in.src, in.sizeMax = tree.FromCaller(content), f.SizeMax
	in.file.outcome.Bytes = &in.read
	if err := in.fill(); err != nil { // there is room for it before the machine is touched
		return err
	}
	return in.attach(ctx, tree, -1)
}

// copy copies a file of the machine's, by way of this server.
func (in *intake) copy(ctx context.Context, tree *FileTree, source string) error {
	from, to := io.Pipe()
	var attached error
	var attaching sync.WaitGroup
	_, err := tree.Read(ctx, source, true, func(e FileEntry, _ []byte) (FileSpan, io.Writer, error) {
		if e.Size > in.r.most {
			return FileSpan{}, nil, in.r.tooLarge()
		}
		if err := in.reserve(e.Size); err != nil {
			return FileSpan{}, nil, err
		}
		in.src, in.sizeMax = from, e.Size
		attaching.Go(func() {
			attached = in.attach(ctx, tree, e.Size)
			from.CloseWithError(cmp.Or(attached, io.ErrClosedPipe))
		})
		return FileSpan{Length: e.Size}, to, nil
	})
	to.CloseWithError(err) // nil is io.EOF
	attaching.Wait()
	return cmp.Or(attached, err)
}

// attach puts the content that is taken in on the machine.
func (in *intake) attach(ctx context.Context, tree *FileTree, size int64) error {
	err := tree.Attach(ctx, in.file.record.ID, in.file.record.Name, in, size)
	switch sallyport.CodeOf(err) {
	case sallyport.CodeConnectFailed, sallyport.CodeConnectTimeout, sallyport.CodeHostKeyMismatch:
	default:
		in.file.made = true
	}
	in.file.record.Size = in.read
	in.file.record.SHA256 = hex.EncodeToString(in.sum.Sum(nil))
	in.file.record.MediaType = in.r.req.MediaType(in.head)
	return err
}

func (r *attaching) tooLarge() error {
	return sallyport.Errorf(sallyport.CodeAttachmentTooLarge, "an attachment has at most %d bytes", r.most)
}

func (r *attaching) noSpace() error {
	return sallyport.Errorf(sallyport.CodeNoSpace, "the organisation's attachments hold as much as they may together, %d bytes; delete some, or let them expire", r.room.Bytes).
		WithReason(sallyport.ReasonOrganisation)
}
