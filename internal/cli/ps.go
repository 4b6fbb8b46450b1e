package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

func (a *app) newPs() *cobra.Command {
	var all bool
	var limit int
	cmd := &cobra.Command{
		Use:   "ps [WORKSPACE]",
		Short: "List what runs on a workspace, or in the whole organisation",
		Long: `Lists the execs, terminals and forwards that run on a workspace, or without WORKSPACE on all that
the token may see, newest first; with --all those that have ended, too. KIND says which
it is; a token without the scope of a kind doesn't see it. sallyport kill ends one.

The whole organisation's are read from the activity log, which takes the scope
audit:read; without it the workspaces are asked one by one.`,
		Example: `  sallyport ps
  sallyport ps build
  sallyport ps build --all --limit 20`,
		Args: atMostOne("WORKSPACE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			status := sallyport.StatusRunning
			if all {
				status = ""
			}
			return a.ps(cmd.Context(), args, status, limit)
		},
		ValidArgsFunction: completeFirst(a.completeWorkspaces),
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "show those that have ended, too")
	addLimit(cmd, &limit, 0)
	return cmd
}

func (a *app) ps(ctx context.Context, args []string, status string, limit int) error {
	api, err := a.newAPI(false)
	if err != nil {
		return err
	}
	api.OnAnswer = nil // what is printed is made of several answers
	kinds, err := kindsFor(ctx, api.Client)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		rows, err := orgRows(ctx, api.Client, kinds, status)
		if err != nil {
			return err
		}
		return a.printRunning(runningColumns(a.newNames(ctx, api), status == ""), rows, limit)
	}
	workspace, err := a.workspaceRef(ctx, api.Client, args[0])
	if err != nil {
		return err
	}
	return a.printRunning(runningColumns(nil, status == ""), ofWorkspace(ctx, api.Client, kinds, workspace, status), limit)
}

// orgRows are those of all workspaces that the token may see, newest first.
func orgRows(ctx context.Context, c *client.Client, kinds []runningKind, status string) (iter.Seq2[sallyport.Activity, error], error) {
	_, err := c.ListActivity(ctx, client.ActivityFilter{Type: kinds[0].activity, Status: status}, client.Page{Limit: 1})
	if sallyport.CodeOf(err) != sallyport.CodeScopeForbidden {
		lists := make([]iter.Seq2[sallyport.Activity, error], len(kinds))
		for i, k := range kinds {
			lists[i] = c.AllActivity(ctx, client.ActivityFilter{Type: k.activity, Status: status})
		}
		return newestFirst(lists), nil
	}
	var rows []sallyport.Activity
	for ws, err := range c.AllWorkspaces(ctx) {
		if err != nil {
			return nil, err
		}
		for row, err := range ofWorkspace(ctx, c, kinds, ws.ID, status) {
			if err != nil {
				return nil, err
			}
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(x, y sallyport.Activity) int { return compareAge(y, x) })
	return func(yield func(sallyport.Activity, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}, nil
}

// printRunning prints rows up to a limit, where 0 is none, a part at a time.
func (a *app) printRunning(columns []column[sallyport.Activity], rows iter.Seq2[sallyport.Activity, error], limit int) error {
	p := &runningPrinter{app: a, columns: columns}
	count := 0
	for row, err := range rows {
		if err != nil {
			return err
		}
		p.part = append(p.part, row)
		if len(p.part) == limits.PageMax {
			if err := p.print(); err != nil {
				return err
			}
		}
		if count++; count == limit {
			break
		}
	}
	return p.end()
}

// runningPrinter prints rows that come a part at a time.
type runningPrinter struct {
	*app
	columns []column[sallyport.Activity]
	part    []sallyport.Activity
	hasAny  bool
}

func (p *runningPrinter) print() error {
	isFirst := !p.hasAny
	p.hasAny = true
	defer func() { p.part = p.part[:0] }()
	if !p.asJSON() {
		return printRows(p.app, p.out, p.columns, p.part, isFirst)
	}
	for i, row := range p.part {
		text, err := json.Marshal(row)
		if err != nil {
			return err
		}
		separator := ","
		if isFirst && i == 0 {
			separator = `{"items":[`
		}
		if _, err := fmt.Fprintf(p.out, "%s%s", separator, visibleJSON(text)); err != nil {
			return err
		}
	}
	return nil
}

// end prints the last part.
func (p *runningPrinter) end() error {
	if len(p.part) > 0 || !p.hasAny && !p.asJSON() {
		if err := p.print(); err != nil {
			return err
		}
	}
	if !p.asJSON() {
		return nil
	}
	closing := "]}\n"
	if !p.hasAny {
		closing = `{"items":[` + closing
	}
	_, err := io.WriteString(p.out, closing)
	return err
}

// runningColumns have a column for the workspace where names are given, and those for the end
// where some may have ended.
func runningColumns(names *names, withEnd bool) []column[sallyport.Activity] {
	type row = sallyport.Activity
	columns := []column[row]{
		{"ID", func(r row) string { return r.ID }},
		{"KIND", kindName},
		{"STARTED", func(r row) string { return when(r.CreatedAt) }},
		{"TOOK", func(r row) string { return execTook(r) }},
		{"ACTOR", func(r row) string { return r.Actor }},
		{"COMMAND", func(r row) string { return r.Summary }},
	}
	if withEnd {
		columns = slices.Insert(columns, 4,
			column[row]{stateHeader, func(r row) string { return r.Status }},
			column[row]{"EXIT", func(r row) string { return exitText(r) }})
	}
	if names == nil {
		return columns
	}
	return slices.Insert(columns, 2, column[row]{"WORKSPACE", func(r row) string { return names.workspace(r.WorkspaceID) }})
}

// execTook is how long a command took, or takes so far by this machine's clock.
func execTook(r sallyport.Activity) string {
	switch {
	case r.DurationMS != nil:
		took := time.Duration(*r.DurationMS) * time.Millisecond
		if took > 10*time.Second {
			took = took.Round(100 * time.Millisecond)
		}
		return took.String()
	case r.Status == sallyport.StatusRunning:
		return time.Since(r.CreatedAt).Round(time.Second).String()
	}
	return "-"
}
