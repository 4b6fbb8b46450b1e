package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/client"
	"sallyport/client/sallyport"
)

func (a *app) newRecordings() *cobra.Command {
	return newGroup(&cobra.Command{
		Use:   "recordings",
		Short: "List, play, download and delete recordings of terminals",
		Long: `Recordings hold what terminals showed and when, and never what was typed. A terminal is
recorded where its client asks (shell --record), and on a workspace with --record-terminals
always. A recording has its terminal's id, and is kept for 30 days unless the server is
configured otherwise.

An organisation's token finds the recordings of all its workspaces by their id, a
workspace's token its own. Listing and reading take the scope terminal:read, deleting takes
workspaces; each reading leaves a row in the activity log.`,
		Example: `  sallyport recordings list build
  sallyport recordings play 0198c9a4-9d10-7c3d`,
	}, a.newRecordingsList(), a.newRecordingsPlay(), a.newRecordingsDownload(), a.newRecordingsDelete())
}

func (a *app) newRecordingsList() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:     "list WORKSPACE",
		Aliases: []string{"ls"},
		Short:   "List the recordings of a workspace, newest first",
		Example: `  sallyport recordings list build
  sallyport recordings list build --json | jq -r '.items[].id'`,
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
			return withScopes(printList(a, api, cmd, limit, recordingColumns(), func(p client.Page) (sallyport.List[sallyport.Recording], error) {
				return api.ListRecordings(ctx, client.Owner{Workspace: ref}, p)
			}), sallyport.ScopeTerminalRead)
		},
		ValidArgsFunction: completeFirst(a.completeWorkspaces),
	}
	addLimit(cmd, &limit, 0)
	return cmd
}

func recordingColumns() []column[sallyport.Recording] {
	type rec = sallyport.Recording
	return []column[rec]{
		{"ID", func(r rec) string { return r.ID }},
		{"STARTED", func(r rec) string { return when(r.CreatedAt) }},
		{"TOOK", func(r rec) string {
			return (time.Duration(r.DurationMS) * time.Millisecond).Round(100 * time.Millisecond).String()
		}},
		{"BYTES", func(r rec) string { return fmt.Sprint(r.Bytes) }},
		{"SIZE", func(r rec) string { return fmt.Sprintf("%d×%d", r.Cols, r.Rows) }},
		{stateHeader, func(r rec) string { return r.Status }},
		{"ACTOR", func(r rec) string { return r.Actor }},
	}
}

func (a *app) newRecordingsPlay() *cobra.Command {
	var p player
	cmd := &cobra.Command{
		Use:   "play ID",
		Short: "Show a recording as it was, at this terminal",
		Long: `Shows what a terminal showed, at the pace of then. Ctrl-C ends it. Where stdout is no
terminal all comes at once, as for less -R.

The terminal here should be as large as the one of then: recordings list shows its SIZE.`,
		Example: `  sallyport recordings play 0198c9a4-9d10-7c3d
  sallyport recordings play --speed 4 --idle-limit 1s 0198c9a4-9d10-7c3d
  sallyport recordings play 0198c9a4-9d10-7c3d | less -R`,
		Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if p.speed <= 0 || p.idle < 0 {
				return usagef("for example: --speed 2 --idle-limit 1s", "the speed and the idle limit are more than 0")
			}
			return a.play(cmd.Context(), args[0], p)
		},
		ValidArgsFunction: completeFirst(a.completeRecordings),
	}
	cmd.Flags().Float64Var(&p.speed, "speed", 1, "play `N` times as fast")
	cmd.Flags().Var((*duration)(&p.idle), "idle-limit", "wait no longer than this `TIME` where nothing was shown")
	complete(cmd, "speed", cobra.NoFileCompletions)
	complete(cmd, "idle-limit", cobra.NoFileCompletions)
	return cmd
}

func (a *app) newRecordingsDownload() *cobra.Command {
	return &cobra.Command{
		Use:   "download ID [FILE|-]",
		Short: "Copy a recording to this machine, for asciinema and other players",
		Long: `Copies a recording, as an asciicast of version 2, to FILE, or without it to ID.cast; "-" is
stdout. The file appears whole or not at all, and is its user's alone (0600).`,
		Example: `  sallyport recordings download 0198c9a4-9d10-7c3d build.cast
  sallyport recordings download 0198c9a4-9d10-7c3d - | asciinema play -`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return nil
			}
			return takes("ID")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			to := ""
			if len(args) == 2 {
				to = args[1]
			}
			return a.downloadRecording(cmd.Context(), args[0], to)
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return completeFirst(a.completeRecordings)(cmd, args, toComplete)
		},
	}
}

func (a *app) newRecordingsDelete() *cobra.Command {
	return &cobra.Command{
		Use:     "delete ID",
		Aliases: []string{"rm"},
		Short:   "Delete a recording",
		Long: `Deletes a recording for good. The row of its terminal stays in the activity log, and still says
that it was recorded; another row says who has deleted it.`,
		Example: "  sallyport recordings delete 0198c9a4-9d10-7c3d-8e5f-6a7b8c9d0e1f",
		Args:    takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			api, id, err := a.recording(ctx, args[0])
			if err != nil {
				return err
			}
			if err := api.DeleteRecording(ctx, client.Owner{}, id); err != nil {
				return withScopes(err, sallyport.ScopeWorkspaces)
			}
			return a.done("%s deleted", id)
		},
		ValidArgsFunction: completeFirst(a.completeRecordings),
	}
}

// recording finds the recording that ref names: an id, or what is a unique prefix of one.
func (a *app) recording(ctx context.Context, ref string) (*api, string, error) {
	api, err := a.newAPI(false)
	if err != nil {
		return nil, "", err
	}
	if !isIDPrefix(ref) {
		return api, ref, nil
	}
	id, err := uniqueRef("recording", ref, api.AllRecordings(ctx, client.Owner{}),
		func(r sallyport.Recording) bool { return strings.HasPrefix(r.ID, ref) }, func(r sallyport.Recording) string { return r.ID })
	return api, id, withScopes(err, sallyport.ScopeTerminalRead)
}

func (a *app) openRecording(ctx context.Context, ref string) (r io.ReadCloser, id string, err error) {
	api, id, err := a.recording(ctx, ref)
	if err != nil {
		return nil, "", err
	}
	r, err = api.ReadRecording(ctx, client.Owner{}, id)
	return r, id, withScopes(err, sallyport.ScopeTerminalRead)
}

func (a *app) downloadRecording(ctx context.Context, ref, to string) error {
	from, id, err := a.openRecording(ctx, ref)
	if err != nil {
		return err
	}
	defer from.Close()
	if to == stdName {
		_, err := io.Copy(a.out, from)
		return err
	}
	if to == "" {
		to = id + ".cast"
	}
	file, err := os.CreateTemp(filepath.Dir(to), ".sallyport-*") // of mode 0600
	if err != nil {
		return err
	}
	_, err = io.Copy(file, from)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(file.Name(), to)
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return err
	}
	return a.done("%s", to)
}

// completeRecordings completes the ids of recordings.
func (a *app) completeRecordings(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	return a.completeFrom(cmd, false, func(ctx context.Context, c *client.Client, add func(string, string)) {
		for r, err := range c.AllRecordings(ctx, client.Owner{}) {
			if err != nil {
				return
			}
			add(r.ID, when(r.CreatedAt))
		}
	})
}
