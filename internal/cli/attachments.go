package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/client"
	"sallyport/client/sallyport"
)

func (a *app) newAttachments() *cobra.Command {
	return newGroup(&cobra.Command{
		Use:     "attachments",
		Aliases: []string{"attachment"},
		Short:   "Hand files to agents on workspaces, and take theirs",
		Long: `Attachments are files that a person hands to an agent on a workspace, or an agent to a
person. Each has an id, a place on the machine that processes there can read, and an
end. They take the scope attachments, which a token has only where it is named. An ID
may be the beginning of one. Each operation but ls is in the activity log, without any
content.`,
		Example: `  sallyport attachments add build report.pdf
  sallyport attachments ls build
  sallyport tokens create agent --workspace build --scope exec --scope attachments`,
	}, a.newAttachmentsLs(), a.newAttachmentsAdd(), a.newAttachmentsGet(), a.newAttachmentsRm())
}

// attachments are those of a workspace, and the client that asks for them, which the caller
// closes.
func (a *app) attachments(ctx context.Context, workspace string) (*filesAPI, *client.Attachments, error) {
	api, err := a.newFilesAPI()
	if err != nil {
		return nil, nil, err
	}
	ref, err := a.workspaceRef(ctx, api.Client, workspace)
	if err != nil {
		api.Close()
		return nil, nil, err
	}
	return api, api.Attachments(ref), nil
}

// attachmentRef returns the id of an attachment: ref itself, or what it is a unique prefix of.
func attachmentRef(ctx context.Context, of *client.Attachments, ref string) (string, error) {
	if !isIDPrefix(ref) {
		return ref, nil
	}
	return uniqueRef("attachment", ref, of.All(ctx),
		func(x sallyport.Attachment) bool { return strings.HasPrefix(x.ID, ref) }, func(x sallyport.Attachment) string { return x.ID })
}

// withScopes is err, with advice where the token lacks one of the scopes that it takes.
func withScopes(err error, scopes ...sallyport.Scope) error {
	if sallyport.CodeOf(err) != sallyport.CodeScopeForbidden {
		return err
	}
	create := "sallyport tokens create NAME"
	for _, s := range scopes {
		create += " --scope " + string(s)
	}
	return &hintedError{err, "use a token for which that was named: " + create + "; sallyport whoami shows this token's scopes"}
}

func (a *app) newAttachmentsLs() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:     "ls WORKSPACE",
		Aliases: []string{"list"},
		Short:   "List the attachments of a workspace, newest first",
		Long: `Lists the attachments of a workspace that haven't expired, newest first. The machine isn't
asked. --json has the path of each on the machine, too.`,
		Example: `  sallyport attachments ls build
  sallyport attachments ls build --json | jq -r '.items[].path'`,
		Args: takes("WORKSPACE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			api, err := a.newAPI(false)
			if err != nil {
				return err
			}
			ref, err := a.workspaceRef(ctx, api.Client, args[0])
			if err != nil {
				return err
			}
			return withScopes(printList(a, api, cmd, limit, attachmentColumns(), func(p client.Page) (sallyport.List[sallyport.Attachment], error) {
				return api.Attachments(ref).List(ctx, p)
			}), sallyport.ScopeAttachments)
		},
		ValidArgsFunction: completeFirst(a.completeWorkspaces),
	}
	addLimit(cmd, &limit, 0)
	return cmd
}

func attachmentColumns() []column[sallyport.Attachment] {
	type att = sallyport.Attachment
	return []column[att]{
		{"ID", func(x att) string { return x.ID }},
		{"NAME", func(x att) string { return x.Name }},
		{"SIZE", func(x att) string { return fmt.Sprint(x.Size) }},
		{"MEDIA TYPE", func(x att) string { return x.MediaType }},
		{"EXPIRES", func(x att) string { return when(x.ExpiresAt) }},
	}
}

func (a *app) newAttachmentsRm() *cobra.Command {
	return &cobra.Command{
		Use:   "rm WORKSPACE ID...",
		Short: "Remove attachments, with their files on the machine",
		Example: `  sallyport attachments rm build 01980000-0000-7000-8000-000000000000
  sallyport attachments rm build 01980000-0000-7000`,
		Args: takesPlaces(2, "WORKSPACE", "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.removeAttachments(cmd.Context(), args[0], args[1:])
		},
		ValidArgsFunction: a.completeAttachments,
	}
}

func (a *app) removeAttachments(ctx context.Context, workspace string, refs []string) error {
	api, of, err := a.attachments(ctx, workspace)
	if err != nil {
		return err
	}
	defer api.Close()
	r := &steps{app: a, all: len(refs)}
	for _, ref := range refs {
		id, err := attachmentRef(ctx, of, ref)
		if err == nil {
			err = of.Remove(ctx, id)
		}
		if err == nil {
			err = a.done("attachment %s removed", id)
		}
		if err := r.after(ctx, withScopes(err, sallyport.ScopeAttachments)); err != nil {
			return err
		}
	}
	return r.end()
}

// steps are a command's, of which one that fails leaves the others to be done.
type steps struct {
	*app
	// all is how many there are: the error of the only one is the command's.
	all        int
	incomplete bool
}

// after tells of a step's error, and returns it if the command ends with it.
func (s *steps) after(ctx context.Context, err error) error {
	var usage *usageError
	switch {
	case err == nil:
		return nil
	case s.all == 1, ctx.Err() != nil, s.out.err != nil, errors.As(err, &usage):
		return err
	}
	s.report(err)
	s.incomplete = true
	return nil
}

func (s *steps) end() error {
	if s.incomplete {
		return exitCode(exitFailed)
	}
	return nil
}

// completeAttachments completes a workspace, and then the ids of its attachments.
func (a *app) completeAttachments(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return a.completeWorkspaces(cmd, args, toComplete)
	}
	return a.completeFrom(cmd, false, func(ctx context.Context, c *client.Client, add func(string, string)) {
		ref, err := a.workspaceRef(ctx, c, args[0])
		if err != nil {
			return
		}
		for x, err := range c.Attachments(ref).All(ctx) {
			if err != nil {
				return
			}
			add(x.ID, x.Name)
		}
	})
}
