package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/internal/localtree"
)

func (a *app) newCp() *cobra.Command {
	var recursive bool
	cmd := &cobra.Command{
		Use:   "cp [-r] SRC... DST",
		Short: "Copy files to, from and between workspaces",
		Long: `Copies files and, with -r, directories, as scp does: into DST if that is a directory, or
else to that name. Several SRC need a directory. Modes and times are kept.

A place is WORKSPACE:PATH, relative to the workspace's root, or a path of this machine;
one with a colon in it is written as ./a:b. "-" is stdin or stdout. A directory that
ends in "/." stands for what is in it. With -r, "-" is a tar.

A file appears whole or not at all, here as there. A transfer that breaks off is taken
up where it stopped, up to 5 times in a run. Nothing that a workspace sends is written
outside DST, or through a link that stands there: devices, links that lead out of what
is copied, and names that no file has are left out, and named on stderr.

With --json there is a line for each file: from, to, type and size, or why it was
left_out. A name that isn't UTF-8 is in from_base64 and to_base64.

Exit codes: 0 all is copied, 1 something failed or was left out, 2 used wrongly,
130 Ctrl-C.`,
		Example: `  sallyport cp build:out/app.log .
  sallyport cp main.go go.mod build:src/
  sallyport cp -r site build:www
  sallyport cp -r build:reports/. reports
  sallyport cp build:dump.sql staging:dump.sql
  sallyport cp build:app.log - | grep ERROR
  pg_dump shop | sallyport cp - build:shop.sql`,
		Args: takesCp,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.cp(cmd.Context(), args, recursive)
		},
		ValidArgsFunction: a.completePlace,
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "copy directories, with all that is in them")
	cmd.Flags().BoolVarP(&a.quiet, "quiet", "q", false, "show no progress, and write errors alone")
	return cmd
}

func takesCp(cmd *cobra.Command, args []string) error {
	if len(args) < 2 {
		missing := "SRC"
		if len(args) == 1 {
			missing = "DST"
		}
		return usagef("usage: "+cmd.UseLine(), "%s: %s is missing", cmd.CommandPath(), missing)
	}
	return nil
}

// breaksMax is how many broken transfers are taken up in a run.
const breaksMax = 5

// copier is one run of cp.
type copier struct {
	*app
	client    *client.Client
	recursive bool
	sources   []place
	to        place
	// toDir: what is copied comes into the directory to.
	toDir bool
	// breaks are those of the run so far.
	breaks int
	// incomplete: something failed or was left out, and was told.
	incomplete bool
	// held are the lines of --json that wait; nil where none do.
	held *heldLines
	ids  map[string]string
}

func (a *app) cp(ctx context.Context, args []string, recursive bool) error {
	k := &copier{app: a, recursive: recursive, ids: map[string]string{}}
	if err := k.parse(args); err != nil {
		return err
	}
	var err error
	if k.client, err = a.newClient(false); err != nil {
		return err
	}
	defer k.client.Close()
	if err := k.findTarget(ctx); err != nil {
		return err
	}
	for i, source := range k.sources {
		err := k.copy(ctx, source)
		switch {
		case err == nil:
		case ctx.Err() != nil, len(k.sources) == 1, a.out.err != nil:
			return err
		default:
			a.report(err)
			k.incomplete = true
		}
		if i < len(k.sources)-1 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if k.incomplete {
		return exitCode(exitFailed)
	}
	return nil
}

// parse reads the command line. Nobody is asked.
func (k *copier) parse(args []string) error {
	local, std := 0, 0
	for _, word := range args {
		p, err := parsePlace(word)
		if err != nil {
			return err
		}
		if p.workspace == "" {
			local++
		}
		if p.isStd() {
			std++
		}
		k.sources = append(k.sources, p)
	}
	last := len(k.sources) - 1
	k.sources, k.to = k.sources[:last], k.sources[last]
	for _, source := range k.sources {
		if source.workspace == "" && k.to.workspace == "" {
			return usagef("write a place of a workspace as WORKSPACE:PATH", "neither %q nor %q is a place of a workspace", source.word, k.to.word)
		}
	}
	if std > 0 && len(args) > 2 {
		return usagef("copy each by itself", "\"-\" goes with one other place")
	}
	if k.to.isStd() && k.asJSON() {
		return usagef("leave one of them out", "stdout can't hold both the content and JSON")
	}
	return nil
}

// findTarget finds out whether DST is a directory.
func (k *copier) findTarget(ctx context.Context) (err error) {
	var exists bool
	switch {
	case k.to.isStd():
		return nil
	case k.to.workspace == "":
		k.toDir, exists, err = isLocalDir(k.to.path)
	default:
		k.toDir, exists, err = k.isRemoteDir(ctx, k.to)
	}
	switch {
	case err != nil:
		return err
	case k.toDir:
		return nil
	case len(k.sources) > 1:
		return usagef("name a directory that is there", "%s is no directory, and there are several to copy", k.to.word)
	case k.to.isDir && (exists || !k.recursive):
		return fmt.Errorf("%s: %w", k.to.word, syscall.ENOTDIR)
	}
	return nil
}

func isLocalDir(path string) (isDir, exists bool, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	return info.IsDir(), true, nil
}

// isRemoteDir follows a link, as what is written there does. With a token that can't read, a
// slash at the end tells a directory.
func (k *copier) isRemoteDir(ctx context.Context, p place) (isDir, exists bool, err error) {
	if p.path == "" {
		return true, true, nil
	}
	files, err := k.files(ctx, p)
	if err != nil {
		return false, false, err
	}
	e, err := files.Stat(ctx, p.path)
	if err == nil && e.Type == sallyport.FileTypeLink {
		_, err = files.List(ctx, p.path, client.ListFiles{}, client.Page{Limit: 1})
		e.Type = sallyport.FileTypeDir
	}
	switch sallyport.CodeOf(err) {
	case sallyport.CodeScopeForbidden:
		return p.isDir, false, nil
	case sallyport.CodeFileNotFound:
		return false, false, nil
	case sallyport.CodeNotADirectory:
		return false, true, nil
	}
	return err == nil && e.Type == sallyport.FileTypeDir, true, err
}

// files are those of a place's workspace.
func (k *copier) files(ctx context.Context, p place) (*client.Files, error) {
	id, known := k.ids[p.workspace]
	if !known {
		var err error
		if id, err = k.workspaceRef(ctx, k.client, p.workspace); err != nil {
			return nil, err
		}
		k.ids[p.workspace] = id
	}
	k.workspace = p.workspace
	files := k.client.Files(id)
	files.OnBreak = func(_ string, offset int64, err error) bool { return k.mayTakeUp(p, err) }
	return files, nil
}

// mayTakeUp tells whether a broken transfer is taken up, and says so to a person.
func (k *copier) mayTakeUp(p place, err error) bool {
	if k.breaks >= breaksMax {
		return false
	}
	k.breaks++
	if k.isPerson() {
		k.note("%s broke off, and is taken up: %v", p.word, err)
	}
	return true
}

// copy copies one source.
func (k *copier) copy(ctx context.Context, source place) error {
	to := k.to
	if k.toDir {
		to = k.to.below(source.base())
	}
	switch {
	case source.isStd():
		return k.sendStdin(ctx, to)
	case source.workspace == "":
		return k.send(ctx, source, to)
	case to.isStd():
		return k.toStdout(ctx, source)
	case to.workspace == "":
		return k.fetch(ctx, source, to)
	}
	return k.between(ctx, source, to)
}

// remote is a source on a workspace.
type remote struct {
	place
	files *client.Files
	// entry is what is there; of a link, what that leads to.
	entry sallyport.FileEntry
	// isKnown: mode and time are those of the machine. They can't be told through a link
	// with an absolute target.
	isKnown bool
}

func (r *remote) isDir() bool { return r.entry.Type == sallyport.FileTypeDir }

// attr are the attributes that the copy gets.
func (r *remote) attr() localtree.Attr {
	if !r.isKnown {
		mode := fs.FileMode(0o644)
		if r.isDir() {
			mode = 0o755
		}
		return localtree.Attr{Mode: mode, ModTime: r.entry.Mtime}
	}
	return localtree.Attr{Mode: client.FileMode(r.entry), ModTime: r.entry.Mtime}
}

// findSource asks what a source is.
func (k *copier) findSource(ctx context.Context, p place) (*remote, error) {
	files, err := k.files(ctx, p)
	if err != nil {
		return nil, err
	}
	r := &remote{place: p, files: files, isKnown: true}
	if r.entry, err = files.Stat(ctx, p.path); err != nil {
		return nil, err
	}
	if r.entry.Type == sallyport.FileTypeLink {
		err = r.follow(ctx)
	}
	switch {
	case err != nil:
		return nil, err
	case r.isDir() && !k.recursive:
		return nil, &hintedError{fmt.Errorf("%s: it is a directory, and was left out", p.word), "copy it with -r"}
	case r.entry.Type != sallyport.FileTypeDir && r.entry.Type != sallyport.FileTypeFile:
		return nil, fmt.Errorf("%s: %w", p.word, localtree.ErrType)
	}
	return r, nil
}

// follow finds out what a link leads to.
func (r *remote) follow(ctx context.Context) error {
	if fs.ValidPath(r.path) {
		info, err := r.files.FS().(*client.FilesFS).WithContext(ctx).Stat(r.path)
		if err != nil {
			return err
		}
		r.entry = info.Sys().(sallyport.FileEntry)
		r.isKnown = r.entry.Path != nil || r.entry.PathBase64 != nil
		return nil
	}
	r.isKnown = false
	r.entry.Mtime = time.Time{}
	r.entry.Type = sallyport.FileTypeFile
	if _, err := r.files.List(ctx, r.path, client.ListFiles{}, client.Page{Limit: 1}); err == nil {
		r.entry.Type = sallyport.FileTypeDir
	}
	return nil
}

// toStdout writes a file, or with -r a directory as a tar.
func (k *copier) toStdout(ctx context.Context, source place) error {
	r, err := k.findSource(ctx, source)
	if err != nil {
		return err
	}
	if !r.isDir() {
		return k.cat(ctx, r.files, source)
	}
	archive, err := r.files.Archive(ctx, source.path)
	if err != nil {
		return err
	}
	defer func() { _ = archive.Close() }() // it returns no error
	if _, err := io.Copy(k.out, archive); err != nil {
		return err
	}
	if n := archive.Skipped(); n > 0 {
		return k.nameSkipped(ctx, r, n, anyArrived)
	}
	return nil
}

// cat writes a file's content to stdout, every byte as it is.
func (k *copier) cat(ctx context.Context, files *client.Files, p place) error {
	f, err := files.Open(ctx, p.path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it returns no error
	b := k.startBar(p.word, f.Size)
	_, err = io.Copy(k.out, b.reader(f))
	b.end(err)
	return err
}
