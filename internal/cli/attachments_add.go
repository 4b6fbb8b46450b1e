package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/internal/limits"
	"sallyport/internal/localtree"
)

func (a *app) newAttachmentsAdd() *cobra.Command {
	var life time.Duration
	var paths []string
	cmd := &cobra.Command{
		Use:   "add WORKSPACE FILE...",
		Short: "Attach files of this machine, or of the workspace, to it",
		Long: `Attaches files of this machine to a workspace, and prints the path at which a process
there finds each, below the workspace's root: what an agent is told. With --path it is
a file that is on the machine already, as it is now; that takes the scope files:read,
too.

An attachment ends after a week, or --expires. Several files go in requests of 20 at
most. A file that can't be attached is named on stderr; the others are.`,
		Example: `  sallyport attachments add build report.pdf data.csv
  sallyport attachments add build --expires 12h notes.txt
  sallyport attachments add build --path out/report.pdf
  sallyport attachments add build report.pdf --json | jq -r '.items[].path'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(paths) > 0 {
				return takesPlaces(1, "WORKSPACE")(cmd, args)
			}
			return takesPlaces(2, "WORKSPACE", "FILE")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("expires") && (life < limits.AttachmentLifeMin || life > limits.AttachmentLifeMax) {
				return usagef("for example: --expires 7d", "--expires %s is not between a minute and 30 days", life)
			}
			at := &attaching{life: (life + time.Second - 1).Truncate(time.Second), workspace: args[0]}
			at.steps = steps{app: a, all: len(args) - 1 + len(paths)}
			return at.attach(cmd.Context(), args[1:], paths)
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return a.completeWorkspaces(cmd, args, toComplete)
			}
			return nil, cobra.ShellCompDirectiveDefault
		},
	}
	cmd.Flags().Var((*duration)(&life), "expires", "end after this `TIME`, 1m to 30d (default 7d)")
	cmd.Flags().StringArrayVar(&paths, "path", nil, "attach the file at this `PATH` of the workspace; may be repeated")
	cmd.Flags().BoolVarP(&a.quiet, "quiet", "q", false, "show no progress, and write errors alone")
	complete(cmd, "expires", cobra.NoFileCompletions)
	complete(cmd, "path", cobra.NoFileCompletions)
	return cmd
}

// attaching is a run of attachments add.
type attaching struct {
	steps
	of        *client.Attachments
	workspace string
	life      time.Duration
	list      *lister
}

func (at *attaching) attach(ctx context.Context, files, paths []string) error {
	if slices.Contains(files, stdName) {
		return usagef("sallyport cp - "+at.workspace+":NAME, and attach that with --path NAME", "what stdin brings has no name, and can't be attached")
	}
	var places []place
	for _, path := range paths {
		p, err := parseRemote(path, at.workspace, path)
		if err != nil {
			return err
		}
		places = append(places, p)
	}
	api, of, err := at.attachments(ctx, at.workspace)
	if err != nil {
		return err
	}
	defer api.Close()
	at.of, at.list = of, &lister{app: at.app, filesAPI: api}
	err = at.each(ctx, files, places)
	if at.asJSON() && at.list.printed > 0 && at.out.err == nil {
		err = errors.Join(err, at.list.endJSON())
	}
	return err
}

func (at *attaching) each(ctx context.Context, files []string, places []place) error {
	for batch := range slices.Chunk(files, limits.AttachmentFilesMax) {
		if err := at.batch(ctx, batch); err != nil {
			return err
		}
	}
	for _, p := range places {
		made, err := at.of.Copy(ctx, p.path, at.life)
		if err == nil {
			err = at.print([]sallyport.Attachment{made})
		}
		if err := at.after(ctx, withScopes(err, sallyport.ScopeAttachments, sallyport.ScopeFilesRead)); err != nil {
			return err
		}
	}
	return at.end()
}

// batch attaches files by one request. It returns an error that ends the command.
func (at *attaching) batch(ctx context.Context, words []string) error {
	var contents []*attachContent
	defer func() {
		for _, c := range contents {
			_ = c.file.Close() // it was only read
		}
	}()
	for _, word := range words {
		c, err := at.open(word)
		if err == nil {
			contents = append(contents, c)
		}
		if err := at.after(ctx, err); err != nil {
			return err
		}
	}
	if len(contents) == 0 {
		return nil
	}
	err := at.send(ctx, contents)
	if sallyport.CodeOf(err) == sallyport.CodeAttachmentTooLarge && len(contents) > 1 {
		return at.oneByOne(ctx, contents) // one of them was, and nothing is attached
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", wordsOf(contents), err)
	}
	return at.after(ctx, withScopes(err, sallyport.ScopeAttachments))
}

// oneByOne attaches each file by a request of its own, so that one doesn't keep the others
// from it.
func (at *attaching) oneByOne(ctx context.Context, contents []*attachContent) error {
	for _, c := range contents {
		if err := at.batch(ctx, []string{c.word}); err != nil {
			return err
		}
	}
	return nil
}

func (at *attaching) send(ctx context.Context, contents []*attachContent) error {
	var files []client.NewAttachment
	for _, c := range contents {
		files = append(files, client.NewAttachment{Name: filepath.Base(c.word), Content: c})
	}
	made, err := at.of.Add(ctx, at.life, files...)
	for _, c := range contents {
		c.bar.end(err)
		c.bar = nil
	}
	if err != nil {
		return err
	}
	return at.print(made)
}

// wordsOf names files, however many there are.
func wordsOf(contents []*attachContent) string {
	if len(contents) == 1 {
		return contents[0].word
	}
	return fmt.Sprintf("%s and %d more", contents[0].word, len(contents)-1)
}

// print prints what was attached by a request.
func (at *attaching) print(made []sallyport.Attachment) error {
	if !at.asJSON() {
		isFirst := at.list.printed == 0
		at.list.printed += len(made)
		return printRows(at.app, at.out, madeColumns(), made, isFirst)
	}
	items, err := at.list.items()
	if err != nil {
		return err
	}
	return at.list.printJSON(items)
}

// madeColumns have the path last, and whole: it is what is handed on.
func madeColumns() []column[sallyport.Attachment] {
	type att = sallyport.Attachment
	return []column[att]{
		{"ID", func(x att) string { return x.ID }},
		{"SIZE", func(x att) string { return fmt.Sprint(x.Size) }},
		{"EXPIRES", func(x att) string { return when(x.ExpiresAt) }},
		{"PATH", func(x att) string { return x.Path }},
	}
}

// attachContent is a local file on its way.
type attachContent struct {
	app  *app
	word string
	file *os.File
	size int64
	// bar shows how far it is while it is read.
	bar  *bar
	sent int64
}

func (at *attaching) open(word string) (*attachContent, error) {
	info, err := os.Stat(word) // before it is opened: that of a FIFO waits for its other end
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, &hintedError{fmt.Errorf("%s: it is a directory, and was left out", word), "attach a tar of it, or copy it: sallyport cp -r " + word + " " + at.workspace + ":"}
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: %w", word, localtree.ErrType)
	}
	f, err := os.Open(word)
	if err != nil {
		return nil, err
	}
	return &attachContent{app: at.app, word: word, file: f, size: info.Size()}, nil
}

// Read implements io.Reader.
func (c *attachContent) Read(p []byte) (int, error) {
	if c.sent == 0 && c.bar == nil {
		c.bar = c.app.startBar(c.word, c.size)
	}
	n, err := c.file.Read(p)
	c.sent += int64(n)
	c.bar.at(c.sent)
	if err == io.EOF {
		if c.sent < c.size {
			return n, fmt.Errorf("%s: %w", c.word, errShrunk)
		}
		c.bar.end(nil)
		c.bar = nil
	}
	return n, err
}
