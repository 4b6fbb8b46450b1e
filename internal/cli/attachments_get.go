package cli

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/internal/localtree"
)

// attachmentMode is the mode of an attachment's file, there as here.
const attachmentMode = 0o600

func (a *app) newAttachmentsGet() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "get WORKSPACE ID [DST]",
		Short: "Copy an attachment to this machine",
		Long: `Copies an attachment into DST if that is a directory, or else to that name; without DST
into the current directory, under the attachment's name. "-" is stdout.

The file appears whole or not at all, and is its user's alone (0600). It replaces what
stands there, a link as well: nothing is written through one. A transfer that breaks
off is taken up where it stopped. --json has the names on both sides, and the size.`,
		Example: `  sallyport attachments get build 01980000-0000-7000
  sallyport attachments get build 01980000-0000-7000 reports/
  sallyport attachments get build 01980000-0000-7000 - | less`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 3 {
				return nil
			}
			return takes("WORKSPACE", "ID")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			to := "."
			if len(args) == 3 {
				to = args[2]
			}
			return withScopes(a.getAttachment(cmd.Context(), args[0], args[1], to), sallyport.ScopeAttachments)
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
			if len(args) < 2 {
				return a.completeAttachments(cmd, args, toComplete)
			}
			if len(args) == 2 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().BoolVarP(&a.quiet, "quiet", "q", false, "show no progress, and write errors alone")
	return cmd
}

func (a *app) getAttachment(ctx context.Context, workspace, ref, dst string) error {
	to, err := parsePlace(dst)
	switch {
	case err != nil:
		return err
	case to.workspace != "":
		return usagef("a local path with a colon is written as ./"+dst, "%q is no place of this machine", dst)
	case to.isStd() && a.asJSON():
		return usagef("leave one of them out", "stdout can't hold both the content and JSON")
	}
	api, of, err := a.attachments(ctx, workspace)
	if err != nil {
		return err
	}
	defer api.Close()
	id, err := attachmentRef(ctx, of, ref)
	if err != nil {
		return err
	}
	found, err := of.Get(ctx, id)
	if err != nil {
		return err
	}
	if to.isStd() {
		return a.attachmentTo(ctx, of, found, func(content io.Reader) error {
			_, err := io.Copy(a.out, content)
			return err
		})
	}
	return a.saveAttachment(ctx, of, found, to)
}

// saveAttachment writes an attachment's content to a local file.
func (a *app) saveAttachment(ctx context.Context, of *client.Attachments, found sallyport.Attachment, to place) error {
	isDir, _, err := isLocalDir(to.path)
	switch {
	case err != nil:
		return err
	case isDir:
		// What a server says is not trusted to be a name.
		if localtree.CheckName(found.Name) != nil || strings.Contains(found.Name, "/") {
			return &hintedError{fmt.Errorf("%q: %w", found.Name, localtree.ErrName), "say where it goes: DST"}
		}
		to = to.below(found.Name)
	case to.isDir:
		return fmt.Errorf("%s: %w", to.word, syscall.ENOTDIR)
	}
	tree, err := localtree.Open(filepath.Dir(to.path))
	if err != nil {
		return err
	}
	defer func() { _ = tree.Close() }() // the file is whole already
	err = a.attachmentTo(ctx, of, found, func(content io.Reader) error {
		attr := localtree.Attr{Mode: attachmentMode, ModTime: found.CreatedAt}
		return writeLocal(tree, filepath.Base(to.path), attr, content, to.word)
	})
	if err != nil {
		return err
	}
	k := &copier{app: a}
	k.copiedAs(a.workspace+":"+found.Path, to.word, sallyport.FileTypeFile, found.Size)
	return a.done("attachment %s is in %s", found.ID, to.word)
}

// attachmentTo hands an attachment's content on, and shows how far that is.
func (a *app) attachmentTo(ctx context.Context, of *client.Attachments, found sallyport.Attachment, write func(io.Reader) error) error {
	f, err := of.Open(ctx, found.ID)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it returns no error
	b := a.startBar(found.Name, f.Size)
	err = write(b.reader(f))
	b.end(err)
	return err
}
