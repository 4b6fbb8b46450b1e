package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// followActivity prints the newest rows, oldest first, and what happens from then on.
func (a *app) followActivity(ctx context.Context, api *api, f activityFlags) error {
	rows, err := newestRows(ctx, api, f)
	if err != nil {
		return err
	}
	names := a.newNames(ctx, api)
	names.isLive = true
	p := newActivityPrinter(a, names, rows)
	after := int64(0)
	for _, row := range rows {
		after = max(after, row.Seq)
	}
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
	app    *app
	table  *table[sallyport.Activity]
	headed bool
}

// newActivityPrinter returns a printer whose columns are wide enough for rows, and for
// what is common.
func newActivityPrinter(a *app, names *names, rows []sallyport.Activity) *activityPrinter {
	usual := sallyport.Activity{
		Type: sallyport.ActivityWorkspaceCreated, Status: sallyport.StatusInterrupted, Actor: "workspace-token:sp_ws_12345678",
		CreatedAt: time.Now(),
	}
	usual.DurationMS = new(int64)
	*usual.DurationMS = 12345
	return &activityPrinter{app: a, table: newTable(a.screenOf(a.out), eventColumns(names), append(slices.Clone(rows), usual))}
}

func (p *activityPrinter) print(row sallyport.Activity) error {
	if p.app.asJSON() {
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false) // for people and grep
		if err := encoder.Encode(row); err != nil {
			return err
		}
		return printJSON(p.app.out, text.Bytes())
	}
	if !p.headed {
		p.headed = true
		if err := p.table.header(p.app.out); err != nil {
			return err
		}
	}
	return p.table.row(p.app.out, row)
}
