package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// lsFlags are ls's own flags.
type lsFlags struct {
	long      bool
	recursive bool
	glob      string
}

func (a *app) newLs() *cobra.Command {
	var f lsFlags
	cmd := &cobra.Command{
		Use:   "ls [-l] [-R] [--glob G] WORKSPACE[:PATH]",
		Short: "List the files of a workspace",
		Long: `Lists what is in a directory of a workspace, or its root without PATH, in the order of the
names' bytes; of a file the file. -l shows it as ls -l does, with numeric owners and
times in UTC. -R goes into directories, up to 64 levels, and shows paths below PATH.

--glob takes * and ? and [a-z] within a name, and ** across names. With a slash it is
matched against the path below PATH, else against the name.

A name that holds control characters is shown with them escaped; --json has it exactly.`,
		Example: `  sallyport ls build
  sallyport ls -l build:var/log
  sallyport ls -R --glob '*.go' build:src
  sallyport ls --glob 'reports/**/*.pdf' build`,
		Args: takes("WORKSPACE[:PATH]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !strings.ContainsAny(args[0], ":/") {
				args[0] += ":"
			}
			places, err := parseRemotes(args)
			if err != nil {
				return err
			}
			return a.ls(cmd.Context(), places[0], f)
		},
		ValidArgsFunction: completeFirst(a.completeRemote),
	}
	flags := cmd.Flags()
	flags.BoolVarP(&f.long, "long", "l", false, "show mode, owner, size, time, and what links lead to")
	flags.BoolVarP(&f.recursive, "recursive", "R", false, "list directories within, too")
	flags.StringVar(&f.glob, "glob", "", "show what this `PATTERN` matches")
	complete(cmd, "glob", cobra.NoFileCompletions)
	return cmd
}

// lister prints entries of a workspace's files, a page at a time.
type lister struct {
	*app
	*filesAPI
	dir  place
	long bool
	// printed counts the entries so far.
	printed int
	// incomplete: a directory could not be read.
	incomplete bool
}

func (a *app) ls(ctx context.Context, p place, f lsFlags) error {
	api, err := a.newFilesAPI()
	if err != nil {
		return err
	}
	defer api.Close()
	files, err := api.files(ctx, p)
	if err != nil {
		return err
	}
	l := &lister{app: a, filesAPI: api, dir: p, long: f.long}
	what := client.ListFiles{Glob: f.glob}
	if f.recursive || strings.Contains(f.glob, "/") {
		what.Depth = limits.FileDepthMax
	}
	err = api.pages(ctx, files, p.path, what, l.page)
	if sallyport.CodeOf(err) == sallyport.CodeNotADirectory && !p.isDir {
		err = l.file(ctx, files)
	}
	if err == nil && a.asJSON() {
		err = l.endJSON()
	}
	if err == nil && l.incomplete {
		err = exitCode(exitFailed)
	}
	return err
}

// pages asks for a listing page by page, so that a long one takes no memory.
func (api *filesAPI) pages(ctx context.Context, files *client.Files, dir string, what client.ListFiles, each func([]sallyport.FileEntry) error) error {
	for cursor := ""; ; {
		list, err := files.List(ctx, dir, what, client.Page{Limit: limits.PageMax, Cursor: cursor})
		if err != nil {
			return err
		}
		if err := each(list.Items); err != nil {
			return err
		}
		if list.NextCursor == "" {
			return nil
		}
		if list.NextCursor == cursor {
			return errors.New("the server names the same page twice")
		}
		cursor = list.NextCursor
	}
}

// file lists what is no directory.
func (l *lister) file(ctx context.Context, files *client.Files) error {
	e, err := files.Stat(ctx, l.dir.path)
	if err != nil {
		return err
	}
	if l.asJSON() {
		return l.printJSON([]json.RawMessage{l.answer})
	}
	return l.print([]sallyport.FileEntry{e})
}

func (l *lister) page(entries []sallyport.FileEntry) error {
	for _, e := range entries {
		if e.Unreadable {
			l.incomplete = true
			path, _ := e.RawPath()
			fmt.Fprintf(l.Stderr, "sallyport: %s: %s\n", visible(l.dir.workspace+":"+path), errUnreadable)
		}
	}
	if !l.asJSON() {
		return l.print(entries)
	}
	items, err := l.items()
	if err != nil {
		return err
	}
	return l.printJSON(items)
}

// printJSON prints items as the server wrote them.
func (l *lister) printJSON(items []json.RawMessage) error {
	for _, item := range items {
		separator := ","
		if l.printed == 0 {
			separator = `{"items":[`
		}
		l.printed++
		if _, err := fmt.Fprintf(l.out, "%s%s", separator, visibleJSON(bytes.TrimSpace(item))); err != nil {
			return err
		}
	}
	return nil
}

func (l *lister) endJSON() error {
	end := "]}\n"
	if l.printed == 0 {
		end = `{"items":[` + end
	}
	_, err := io.WriteString(l.out, end)
	return err
}

func (l *lister) print(entries []sallyport.FileEntry) error {
	if !l.long {
		for _, e := range entries {
			if _, err := fmt.Fprintln(l.out, visible(l.nameOf(e))); err != nil {
				return err
			}
		}
		return nil
	}
	rows := make([][]string, 0, len(entries))
	for _, e := range entries {
		rows = append(rows, l.longRow(e))
	}
	return printAligned(l.out, rows)
}

// nameOf is an entry's path below the directory that is listed; its name where it is that.
func (l *lister) nameOf(e sallyport.FileEntry) string {
	path, err := e.RawPath()
	if err != nil {
		return "?"
	}
	if name, ok := relativePath(l.dir.path, path); ok && name != "" {
		return name
	}
	name, _ := e.RawName()
	return name
}

// longRow is an entry as ls -l shows it.
func (l *lister) longRow(e sallyport.FileEntry) []string {
	size := "-"
	if e.Size != nil {
		size = strconv.FormatInt(*e.Size, 10)
	}
	name := visible(l.nameOf(e))
	if e.Type == sallyport.FileTypeLink {
		target, err := e.RawTarget()
		if err != nil {
			target = "?"
		}
		name += " -> " + visible(target)
	}
	return []string{modeText(e), strconv.Itoa(e.UID), strconv.Itoa(e.GID), size, when(e.Mtime), name}
}

// printAligned prints rows whose cells stand below each other: numbers to the right, the last
// as long as it is.
func printAligned(w io.Writer, rows [][]string) error {
	var widths []int
	for _, row := range rows {
		widths = append(widths, make([]int, len(row)-min(len(row), len(widths)))...)
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			if i == len(row)-1 {
				b.WriteString(cell)
				break
			}
			fmt.Fprintf(&b, "%*s ", widths[i], cell)
		}
		if _, err := fmt.Fprintln(w, b.String()); err != nil {
			return err
		}
	}
	return nil
}

// modeText is the type and the mode as ls -l writes them.
func modeText(e sallyport.FileEntry) string {
	bits, err := strconv.ParseUint(e.Mode, 8, 12)
	if err != nil {
		return "??????????"
	}
	text := []byte("?rwxrwxrwx")
	switch e.Type {
	case sallyport.FileTypeFile:
		text[0] = '-'
	case sallyport.FileTypeDir:
		text[0] = 'd'
	case sallyport.FileTypeLink:
		text[0] = 'l'
	}
	for i := range 9 {
		if bits&(1<<(8-i)) == 0 {
			text[1+i] = '-'
		}
	}
	for i, special := range []struct {
		bit     uint64
		letters string
	}{{0o4000, "sS"}, {0o2000, "sS"}, {0o1000, "tT"}} {
		at := 3 * (i + 1)
		switch {
		case bits&special.bit == 0:
		case text[at] == 'x':
			text[at] = special.letters[0]
		default:
			text[at] = special.letters[1]
		}
	}
	return string(text)
}
