package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/limits"
	"sallyport/internal/principal"
	"sallyport/internal/remote"
	"sallyport/internal/store"
)

// LeaseStore knows which replicas are alive.
type LeaseStore interface {
	// AdoptActs makes running rows of replicas that are dead the replica's, most of them
	// at the most, and returns them without what their acts were begun with.
	AdoptActs(ctx context.Context, replica string, most int) ([]store.Activity, error)
}

// closer ends what a crash left of acts of one kind on one workspace's machine, where it
// can be reached before ctx ends, and returns how their rows end.
type closer func(ctx context.Context, g *Gateway, rows []store.Activity) audit.End

// closerOf returns the closer of a kind of act. A kind without one leaves nothing on the
// machine: its rows are completed, and that is all.
func closerOf(rowType string) closer {
	switch rowType {
	case sallyport.ActivityExec:
		return closeExecs
	case sallyport.ActivityTerminal:
		return closeTerminals
	}
	return func(context.Context, *Gateway, []store.Activity) audit.End {
		return audit.End{Status: sallyport.StatusInterrupted}
	}
}

// Recover completes what dead replicas, and the crash of a server before, have left
// running as interrupted, and ends what still runs of it where its machine can be reached
// before ctx ends. The rows are read, and completed, limits.AdoptRowsMax at a time.
func (g *Gateway) Recover(ctx context.Context) error {
	for {
		// Without an end: rows that nobody adopts would stay open.
		rows, err := g.Leases.AdoptActs(context.WithoutCancel(ctx), g.Replica, limits.AdoptRowsMax)
		if err != nil {
			return fmt.Errorf("find what a crash left running: %w", err)
		}
		if len(rows) == 0 {
			return nil
		}
		if err := g.closeLeft(ctx, rows); err != nil {
			return err
		}
	}
}

// closeLeft completes rows, those of one kind on one workspace together.
func (g *Gateway) closeLeft(ctx context.Context, rows []store.Activity) error {
	type left struct{ workspaceID, rowType string }
	groups := map[left][]store.Activity{}
	var all []error
	for _, row := range rows {
		if row.Class == store.ClassDetached {
			all = append(all, g.adoptDetached(ctx, row))
			continue
		}
		of := left{row.WorkspaceID, row.Type}
		groups[of] = append(groups[of], row)
	}
	var wg sync.WaitGroup
	failures := make(chan error, len(rows))
	for of, rows := range groups {
		wg.Go(func() {
			end := closerOf(of.rowType)(ctx, g, rows)
			for _, row := range rows { // together: a log that is sick makes each wait
				wg.Go(func() {
					if err := g.Audit.Interrupt(row, end); err != nil {
						failures <- fmt.Errorf("complete row %s: %w", row.ID, err)
					}
				})
			}
		})
	}
	wg.Wait()
	close(failures)
	for err := range failures {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// closeExecs ends the processes that one workspace's execs have left.
func closeExecs(ctx context.Context, g *Gateway, rows []store.Activity) audit.End {
	survivors := closeProcesses(ctx, g, rows)
	return audit.End{Status: sallyport.StatusInterrupted, Outcome: audit.ExecOutcome{Survivors: survivors, SurvivorsUnknown: survivors == nil}}
}

// closeTerminals ends the processes that one workspace's terminals have left.
func closeTerminals(ctx context.Context, g *Gateway, rows []store.Activity) audit.End {
	survivors := closeProcesses(ctx, g, rows)
	return audit.End{Status: sallyport.StatusInterrupted, Outcome: audit.TerminalOutcome{Survivors: survivors, SurvivorsUnknown: survivors == nil}}
}

// closeProcesses ends the processes that acts have left on one workspace's machine, and
// returns how many are left, nil where nobody knows: one number for all rows of the machine,
// since nobody can tell whose it is.
func closeProcesses(ctx context.Context, g *Gateway, rows []store.Activity) (survivors *int) {
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	left, err := g.endAll(ctx, rows[0].OrgID, rows[0].WorkspaceID, ids)
	switch {
	case err != nil:
		g.Log.Warn("what a crash left running could not be ended", "workspace", rows[0].WorkspaceID, "acts", ids, "error", err)
	case left.Known:
		survivors = &left.Count
	}
	return survivors
}

func (g *Gateway) endAll(ctx context.Context, orgID, workspaceID string, ids []string) (remote.Survivors, error) {
	ws, err := g.Workspaces.Workspace(ctx, orgID, workspaceID)
	if err != nil {
		return remote.Survivors{}, err
	}
	if ws.Connector == nil {
		return remote.Survivors{}, errors.New("the workspace has no connector")
	}
	session, err := g.Pool.Open(ctx, target(ws), g.need(Caller{}, ws, "", 0))
	if err != nil {
		return remote.Survivors{}, err
	}
	return remote.EndAll(ctx, session, ids)
}

// adoptDetached looks after a detached exec whose server is dead: it goes on.
func (g *Gateway) adoptDetached(ctx context.Context, row store.Activity) error {
	lasting := context.WithoutCancel(ctx)
	row, err := g.Activities.Activity(lasting, row.OrgID, row.ID)
	if err != nil {
		return fmt.Errorf("read the row of detached exec %s: %w", row.ID, err)
	}
	ws, err := g.Workspaces.Workspace(lasting, row.OrgID, row.WorkspaceID)
	if errors.Is(err, store.ErrNotFound) {
		return g.Audit.Interrupt(row, audit.End{Status: sallyport.StatusCanceled, Reason: string(sallyport.CodeWorkspaceDeleted), Outcome: audit.DetachedOutcome{SurvivorsUnknown: true}})
	}
	if err != nil {
		return fmt.Errorf("read the workspace of detached exec %s: %w", row.ID, err)
	}
	by := principal.Principal{OrgID: row.OrgID}
	if row.Detached != nil && !g.TokenPerRun {
		by.TokenID, by.WorkspaceID = row.Detached.TokenID, row.Detached.TokenWorkspaceID
	}
	g.watchDetached(ctx, watchedExec{id: row.ID, ws: ws, by: by, created: row.CreatedAt, timeout: time.Duration(row.TimeoutS) * time.Second})
	g.recheckDetached(lasting, by, ws) // nobody watched meanwhile
	return nil
}
