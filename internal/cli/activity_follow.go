package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"sallyport"
	"sallyport/client"
	"sallyport/internal/limits"
)

// followActivity prints the newest rows, oldest first, and what happens from then on.
func (a *app) followActivity(ctx context.Context, api *api, f activityFlags) error {
	rows, err := newestRows(ctx, api, f)
	if err != nil {
		return err
	}
	p := &activityPrinter{app: a, columns: activityColumns()}
	after := int64(0)
	for _, row := range rows {
		after = max(after, row.Seq)
	}
	p.fit(rows)
	for _, row := range slices.Backward(rows) {
		if err := p.print(row); err != nil {
			return err
		}
	}
	options := client.EventOptions{Owner: f.filter.Owner, Cut: func(err error) { a.note("the connection was cut; trying again: %v", err) }}
	if len(rows) > 0 {
		options.After = &after
	}
	for row, err := range api.Events(ctx, options) {
		if err != nil {
			return err
		}
		if !wanted(f.filter, row) {
			continue
		}
		if err := p.print(row); err != nil {
			return err
		}
	}
	return nil
}

// newestRows is the first page of the log, at most, newest first.
func newestRows(ctx context.Context, api *api, f activityFlags) ([]sallyport.Activity, error) {
	limit := limits.PageMax
	if f.limit > 0 {
		limit = min(f.limit, limit)
	}
	list, err := api.ListActivity(ctx, f.filter, client.Page{Limit: limit})
	return list.Items, err
}

// wanted tells whether an event is one that the list would show, by the same rules.
func wanted(f client.ActivityFilter, row sallyport.Activity) bool {
	return (f.Type == "" || f.Type == row.Type) &&
		(f.Status == "" || f.Status == row.Status) &&
		(f.Actor == "" || f.Actor == row.Actor) &&
		(f.Query == "" || strings.Contains(row.Summary, f.Query)) &&
		(f.Since.IsZero() || !row.CreatedAt.Before(f.Since))
}

// activityPrinter prints rows that come one by one.
type activityPrinter struct {
	app     *app
	columns []column[sallyport.Activity]
	widths  []int // of the columns, as far as they are known
	headed  bool
}

// fit makes the columns wide enough for rows, and for what is common.
func (p *activityPrinter) fit(rows []sallyport.Activity) {
	usual := sallyport.Activity{
		Type: sallyport.ActivityWorkspaceCreated, Status: sallyport.StatusInterrupted, Actor: "workspace-token:sp_ws_12345678",
	}
	for i, c := range p.columns {
		p.widths = append(p.widths, utf8.RuneCountInString(c.header))
		for _, row := range append(rows, usual) {
			p.widths[i] = max(p.widths[i], utf8.RuneCountInString(visible(c.cell(row))))
		}
	}
}

func (p *activityPrinter) print(row sallyport.Activity) error {
	if p.app.asJSON() {
		encoder := json.NewEncoder(p.app.out)
		encoder.SetEscapeHTML(false) // for people and grep
		return encoder.Encode(row)
	}
	if !p.headed {
		p.headed = true
		if err := p.line(func(c column[sallyport.Activity]) string { return c.header }); err != nil {
			return err
		}
	}
	return p.line(func(c column[sallyport.Activity]) string { return visible(c.cell(row)) })
}

func (p *activityPrinter) line(cell func(column[sallyport.Activity]) string) error {
	var b strings.Builder
	for i, c := range p.columns {
		if i == len(p.columns)-1 {
			b.WriteString(cell(c))
			break
		}
		fmt.Fprintf(&b, "%-*s  ", p.widths[i], cell(c))
	}
	_, err := fmt.Fprintln(p.app.out, strings.TrimRight(b.String(), " "))
	return err
}
