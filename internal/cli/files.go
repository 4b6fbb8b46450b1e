package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

func (a *app) newFiles() *cobra.Command {
	group := newGroup(&cobra.Command{
		Use:   "files",
		Short: "Read and change the files of workspaces",
		Long: `Reads and changes files on the machines of workspaces, each named as WORKSPACE:PATH,
relative to the workspace's root. sallyport cp copies to and from them, and sallyport
ls lists them. Each operation is in the activity log, without any content.`,
		Example: `  sallyport files cat build:etc/app.conf
  sallyport files rm -r build:tmp/old
  sallyport activity --type workspace_file`,
	}, a.newFilesCat(), a.newFilesStat(), a.newFilesRm(), a.newFilesMkdir(), a.newFilesMv(), a.newFilesCp(), a.newFilesChmod(), a.newFilesGrep())
	for _, cmd := range group.Commands() {
		cmd.ValidArgsFunction = a.completeRemote
	}
	for _, first := range []string{"chmod", "grep"} {
		cmd, _, _ := group.Find([]string{first}) // it was added above
		cmd.ValidArgsFunction = a.completeBehindFirst
	}
	return group
}

// completeBehindFirst completes places, but for the first argument, which is none.
func (a *app) completeBehindFirst(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeRemote(cmd, args, toComplete)
}

// filesAPI is a client for the files of workspaces, and the JSON of its last answer. Its calls
// have no time-out of their own: the server bounds each step.
type filesAPI struct {
	*client.Client
	app    *app
	answer []byte
	known  map[string]*client.Files
}

func (a *app) newFilesAPI() (*filesAPI, error) {
	c, err := a.newClient(false)
	if err != nil {
		return nil, err
	}
	api := &filesAPI{Client: c, app: a, known: map[string]*client.Files{}}
	c.OnAnswer = func(json []byte) { api.answer = json }
	return api, nil
}

// files are those of a place's workspace.
func (api *filesAPI) files(ctx context.Context, p place) (*client.Files, error) {
	if files, ok := api.known[p.workspace]; ok {
		return files, nil
	}
	ref, err := api.app.workspaceRef(ctx, api.Client, p.workspace)
	if err != nil {
		return nil, err
	}
	api.known[p.workspace] = api.Client.Files(ref)
	return api.known[p.workspace], nil
}

// items are those of the last answer, as the server wrote them.
func (api *filesAPI) items() ([]json.RawMessage, error) {
	var answer struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(api.answer, &answer); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return answer.Items, nil
}

// printAnswer prints, with --json, the last answer.
func (api *filesAPI) printAnswer() error {
	if !api.app.asJSON() {
		return nil
	}
	return printJSON(api.app.out, api.answer)
}

// takesPlaces checks that a command has at least so many arguments.
func takesPlaces(least int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least {
			return usagef("usage: "+cmd.UseLine(), "%s: %s is missing", cmd.CommandPath(), names[len(args)])
		}
		return nil
	}
}

// onPlaces does something with each place, also after one has failed.
func (a *app) onPlaces(ctx context.Context, words []string, do func(context.Context, *filesAPI, *client.Files, place) error) error {
	places, err := parseRemotes(words)
	if err != nil {
		return err
	}
	api, err := a.newFilesAPI()
	if err != nil {
		return err
	}
	defer api.Close()
	failed := false
	var usage *usageError
	for _, p := range places {
		files, err := api.files(ctx, p)
		if err == nil {
			a.workspace = p.workspace
			err = do(ctx, api, files, p)
		}
		switch {
		case err == nil:
		case len(places) == 1, ctx.Err() != nil, a.out.err != nil, errors.As(err, &usage):
			return err
		default:
			a.report(err)
			failed = true
		}
	}
	if failed {
		return exitCode(exitFailed)
	}
	return nil
}

const placesUse = "WORKSPACE:PATH..."

func (a *app) newFilesCat() *cobra.Command {
	return &cobra.Command{
		Use:   "cat " + placesUse,
		Short: "Write the content of files to stdout",
		Long: `Writes the content of files to stdout, one after the other, every byte as it is. A read
that breaks off is taken up where it stopped; one of a file that has changed meanwhile
fails.`,
		Example: `  sallyport files cat build:etc/app.conf
  sallyport files cat build:log/1 build:log/2 | sort`,
		Args: takesPlaces(1, "WORKSPACE:PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onPlaces(cmd.Context(), args, func(ctx context.Context, _ *filesAPI, files *client.Files, p place) error {
				f, err := files.Open(ctx, p.path)
				if err != nil {
					return err
				}
				defer func() { _ = f.Close() }() // it returns no error
				_, err = io.Copy(a.out, f)
				return err
			})
		},
	}
}

func (a *app) newFilesStat() *cobra.Command {
	return &cobra.Command{
		Use:   "stat " + placesUse,
		Short: "Show what is at a path, of a link the link",
		Example: `  sallyport files stat build:etc/app.conf
  sallyport files stat --json build:etc/app.conf`,
		Args: takesPlaces(1, "WORKSPACE:PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onPlaces(cmd.Context(), args, func(ctx context.Context, api *filesAPI, files *client.Files, p place) error {
				e, err := files.Stat(ctx, p.path)
				if err != nil || a.asJSON() {
					return errors.Join(err, api.printIf(err))
				}
				return printOne(a, a.out, entryColumns(e), e)
			})
		},
	}
}

// printIf prints the answer of a call without an error.
func (api *filesAPI) printIf(err error) error {
	if err != nil {
		return nil
	}
	return api.printAnswer()
}

func entryColumns(e sallyport.FileEntry) []column[sallyport.FileEntry] {
	type entry = sallyport.FileEntry
	columns := []column[entry]{
		{"PATH", func(e entry) string { path, _ := e.RawPath(); return path }},
		{"TYPE", func(e entry) string { return e.Type }},
		{"MODE", func(e entry) string { return e.Mode }},
		{"OWNER", func(e entry) string { return fmt.Sprintf("%d:%d", e.UID, e.GID) }},
		{"TIME", func(e entry) string { return e.Mtime.UTC().Format("2006-01-02T15:04:05.999999999Z07:00") }},
	}
	if e.Size != nil {
		columns = append(columns, column[entry]{"SIZE", func(e entry) string { return fmt.Sprint(*e.Size) }})
	}
	if e.Type == sallyport.FileTypeLink {
		columns = append(columns, column[entry]{"TARGET", func(e entry) string { target, _ := e.RawTarget(); return target }})
	}
	if e.ETag != "" {
		columns = append(columns, column[entry]{"ETAG", func(e entry) string { return e.ETag }})
	}
	return columns
}

func (a *app) newFilesRm() *cobra.Command {
	var recursive bool
	cmd := &cobra.Command{
		Use:   "rm [-r] " + placesUse,
		Short: "Remove files, links and empty directories",
		Long: `Removes files, links, which aren't followed, and directories that are empty; with -r also
directories with all that is in them.`,
		Example: `  sallyport files rm build:tmp/a build:tmp/b
  sallyport files rm -r build:tmp`,
		Args: takesPlaces(1, "WORKSPACE:PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onPlaces(cmd.Context(), args, func(ctx context.Context, _ *filesAPI, files *client.Files, p place) error {
				err := files.Remove(ctx, p.path, recursive)
				if sallyport.CodeOf(err) == sallyport.CodeNotEmpty && !recursive {
					return &hintedError{err, "remove it with all that is in it: sallyport files rm -r " + p.word}
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "remove directories with all that is in them")
	return cmd
}

func (a *app) newFilesMkdir() *cobra.Command {
	return &cobra.Command{
		Use:     "mkdir " + placesUse,
		Short:   "Make directories, and the directories above them",
		Example: `  sallyport files mkdir build:var/cache/app`,
		Args:    takesPlaces(1, "WORKSPACE:PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onPlaces(cmd.Context(), args, func(ctx context.Context, api *filesAPI, files *client.Files, p place) error {
				_, err := files.Mkdir(ctx, p.path, 0o755)
				return errors.Join(err, api.printIf(err))
			})
		},
	}
}

func (a *app) newFilesChmod() *cobra.Command {
	return &cobra.Command{
		Use:   "chmod MODE " + placesUse,
		Short: "Set the mode of files and directories",
		Long:  `Sets a mode of up to four octal digits, as in chmod 0640.`,
		Example: `  sallyport files chmod 755 build:bin/deploy
  sallyport files chmod 0640 build:etc/a.conf build:etc/b.conf`,
		Args: takesPlaces(2, "MODE", "WORKSPACE:PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			mode := args[0]
			if len(mode) == 0 || len(mode) > 4 || strings.Trim(mode, "01234567") != "" {
				return usagef("for example: sallyport files chmod 640 "+args[1], "%q is not a mode of up to four octal digits", mode)
			}
			return a.onPlaces(cmd.Context(), args[1:], func(ctx context.Context, api *filesAPI, files *client.Files, p place) error {
				_, err := files.Change(ctx, p.path, sallyport.FilePatch{Mode: &mode})
				return errors.Join(err, api.printIf(err))
			})
		},
	}
}

func (a *app) newFilesMv() *cobra.Command {
	return &cobra.Command{
		Use:   "mv " + placesUse + " WORKSPACE:DST",
		Short: "Move files and directories within a workspace",
		Long: `Moves within a workspace: into DST if that is a directory, or else to that name, where a
file that is there is replaced. Links are moved as links.`,
		Example: `  sallyport files mv build:a.txt build:b.txt
  sallyport files mv build:a build:b build:archive`,
		Args: takesPlaces(2, "WORKSPACE:PATH", "WORKSPACE:DST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onMachine(cmd.Context(), args, func(ctx context.Context, files *client.Files, from, to string) error {
				_, err := files.Move(ctx, from, to, client.PlaceFile{Overwrite: true})
				return err
			})
		},
	}
}

func (a *app) newFilesCp() *cobra.Command {
	var recursive bool
	cmd := &cobra.Command{
		Use:   "cp [-r] " + placesUse + " WORKSPACE:DST",
		Short: "Copy files on the machine of a workspace",
		Long: `Copies on the machine, without the content coming here: into DST if that is a directory,
or else to that name, where a file that is there is replaced. Modes and times are kept,
links stay links. sallyport cp copies to and from here, and between workspaces.`,
		Example: `  sallyport files cp build:app.conf build:app.conf.old
  sallyport files cp -r build:site build:site-2`,
		Args: takesPlaces(2, "WORKSPACE:PATH", "WORKSPACE:DST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.onMachine(cmd.Context(), args, func(ctx context.Context, files *client.Files, from, to string) error {
				_, err := files.Copy(ctx, from, to, client.PlaceFile{Overwrite: true, Recursive: recursive})
				if sallyport.CodeOf(err) == sallyport.CodeIsADirectory && !recursive {
					return &hintedError{err, "copy directories with -r"}
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "copy directories, with all that is in them")
	return cmd
}

// onMachine does something with each source and where it goes, all on one machine.
func (a *app) onMachine(ctx context.Context, args []string, do func(ctx context.Context, files *client.Files, from, to string) error) error {
	last := len(args) - 1
	targets, err := parseRemotes(args[last:])
	if err != nil {
		return err
	}
	target := targets[0]
	sources, err := parseRemotes(args[:last])
	if err != nil {
		return err
	}
	for _, source := range sources {
		if source.workspace != target.workspace {
			return usagef("sallyport cp copies between workspaces", "%s and %s are of two workspaces", source.word, target.word)
		}
	}
	var toDir, asked bool
	return a.onPlaces(ctx, args[:last], func(ctx context.Context, api *filesAPI, files *client.Files, p place) error {
		if !asked {
			k := &copier{app: a, client: api.Client, ids: map[string]string{}}
			var err error
			if toDir, _, err = k.isRemoteDir(ctx, target); err != nil {
				return err
			}
			asked = true
		}
		to := target
		switch {
		case toDir:
			to = target.below(p.base())
		case len(sources) > 1:
			return usagef("name a directory that is there", "%s is no directory, and there are several to go there", target.word)
		}
		err := do(ctx, files, p.path, to.path)
		return errors.Join(err, api.printIf(err))
	})
}

func (a *app) newFilesGrep() *cobra.Command {
	return &cobra.Command{
		Use:   "grep TEXT " + placesUse,
		Short: "Find the lines of files that hold a text",
		Long: `Prints the lines that hold TEXT, byte for byte, as path:line:text: of a file, or of all
files below a directory, up to 64 levels deep. A line is cut at 512 bytes; of a file
there are 100 lines at most. Files that look like no text are left out, and links
aren't followed.

Exit code 1 if there is none, or something failed.`,
		Example: `  sallyport files grep TODO build:src
  sallyport files grep 'connection refused' build:var/log/app.log`,
		Args: takesPlaces(2, "TEXT", "WORKSPACE:PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.grep(cmd.Context(), args[0], args[1:])
		},
	}
}

func (a *app) grep(ctx context.Context, text string, words []string) error {
	if text == "" || strings.Contains(text, "\n") {
		return usagef("give at least one character, of one line", "%q can't be looked for", text)
	}
	l := &lister{app: a}
	if _, err := parseRemotes(words); err != nil {
		return err
	}
	err := a.onPlaces(ctx, words, func(ctx context.Context, api *filesAPI, files *client.Files, p place) error {
		l.filesAPI, l.dir = api, p
		err := api.pages(ctx, files, p.path, client.ListFiles{Depth: limits.FileDepthMax, Text: text}, l.matches(""))
		if sallyport.CodeOf(err) != sallyport.CodeNotADirectory || p.path == "" {
			return err
		}
		dir, name := splitPath(p.path)
		return api.pages(ctx, files, dir, client.ListFiles{Glob: globOf(name), Text: text}, l.matches(p.path))
	})
	if a.asJSON() && a.out.err == nil {
		err = errors.Join(err, l.endJSON())
	}
	if err == nil && (l.printed == 0 || l.incomplete) {
		return exitCode(exitFailed)
	}
	return err
}

func splitPath(path string) (dir, name string) {
	if at := strings.LastIndexByte(path, '/'); at >= 0 {
		return path[:at], path[at+1:]
	}
	return "", path
}

// globOf is a glob that matches a name, and few others.
func globOf(name string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`*?[]{}\`, r) || r >= 0x80 {
			return '*'
		}
		return r
	}, name)
}

// matches prints the matches of a page's files; only of the one at a path, unless that is "".
func (l *lister) matches(only string) func([]sallyport.FileEntry) error {
	return func(entries []sallyport.FileEntry) error {
		items, err := l.items()
		if err != nil || len(items) != len(entries) {
			return errors.Join(err, errors.New("the answer holds other entries than it says"))
		}
		for i, e := range entries {
			path, err := e.RawPath()
			switch {
			case err != nil:
				return err
			case only != "" && path != only:
				continue
			case l.asJSON():
				err = l.printJSON(items[i : i+1])
			default:
				err = l.printMatches(path, e.Matches)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
}

func (l *lister) printMatches(path string, matches []sallyport.FileMatch) error {
	for _, m := range matches {
		text, err := m.RawText()
		if err != nil {
			return err
		}
		l.printed++
		if _, err := fmt.Fprintf(l.out, "%s:%d:%s\n", visible(path), m.Line, visible(text)); err != nil {
			return err
		}
	}
	return nil
}
