package gateway

import (
	"cmp"
	"context"
	"errors"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/access"
	"sallyport/internal/feed"
	"sallyport/internal/limits"
	"sallyport/internal/live"
	"sallyport/internal/store"
)

// Event is one change of the activity log.
type Event = feed.Event

// EventSink is where events go. An error of its functions ends the stream.
type EventSink struct {
	// Opened is called once, before all else, when the caller may read. What comes
	// is behind the event with the seq at.
	Opened func(at int64) error
	// Events receives the events in order, at least one at a time.
	Events func([]Event) error
	// Idle is called when there was nothing to hand over for IdleEvery; 0 is
	// limits.KeepaliveFrameEvery.
	Idle      func() error
	IdleEvery time.Duration
}

// WorkspaceEvents hands a workspace's events to sink as they happen, from the one
// behind the seq after on (feed.Live for the next one), until ctx ends, or the sink,
// or what the caller may see. It returns workspace_not_found, scope_forbidden,
// too_many_streams, or why a stream that had been opened was ended: canceled, revoked,
// workspace_deleted, draining, slow_reader, platform_unavailable.
func (g *Gateway) WorkspaceEvents(ctx context.Context, by Caller, ref Ref, after int64, sink EventSink) error {
	ws, err := g.Access.Workspace(ctx, by, ref)
	if err != nil {
		return err
	}
	if err := g.Access.Check(ctx, by, g.Access.Rules.ReadActivity, &ws, "follow the activity"); err != nil {
		return err
	}
	return g.follow(ctx, by, ws.OrgID, &ws, after, sink)
}

// OrgEvents is WorkspaceEvents for all of an organisation. It returns not_found
// instead of workspace_not_found.
func (g *Gateway) OrgEvents(ctx context.Context, by Caller, ref string, after int64, sink EventSink) error {
	org, err := g.Access.Org(ctx, by, ref)
	if err != nil {
		return err
	}
	if err := g.Access.Check(ctx, by, g.Access.Rules.ReadOrgActivity, nil, "follow the organisation's activity"); err != nil {
		return err
	}
	return g.follow(ctx, by, org.ID, nil, after, sink)
}

// follow follows an organisation, or one workspace of it.
func (g *Gateway) follow(ctx context.Context, by Caller, orgID string, ws *store.Workspace, after int64, sink EventSink) error {
	c := &live.Call{OrgID: orgID, By: by.Principal, OnDrain: live.Ends}
	if ws != nil {
		c.WorkspaceID = ws.ID
	}
	leave, err := g.live.EnterStream(by.TokenID, by.OrgID, g.EventStreams)
	if err != nil {
		return err
	}
	defer leave()
	ctx, untrack := g.live.Track(ctx, c)
	defer untrack()
	if _, err := g.stillMay(ctx, by, ws); err != nil {
		return err
	}
	reader, err := g.Feed.Open(ctx, orgID, after)
	if err != nil {
		return access.Unavailable(err)
	}
	defer reader.Close()
	if err := sink.Opened(reader.At()); err != nil {
		return err
	}
	for {
		if err := followOn(ctx, reader, c.WorkspaceID, sink); err != nil {
			return endOfFollowing(ctx, reader, c.WorkspaceID, sink, err)
		}
	}
}

// followOn hands over the next events, or a sign of life.
func followOn(ctx context.Context, reader *feed.Reader, workspaceID string, sink EventSink) error {
	waiting, cancel := context.WithTimeout(ctx, cmp.Or(sink.IdleEvery, limits.KeepaliveFrameEvery))
	defer cancel()
	for {
		events, err := reader.Next(waiting)
		switch {
		case err == nil:
		case errors.Is(err, feed.ErrSlow), ctx.Err() != nil:
			return err
		case waiting.Err() != nil:
			return sink.Idle()
		default:
			return access.Unavailable(err)
		}
		if events = ofWorkspace(events, workspaceID); len(events) > 0 {
			return sink.Events(events)
		}
	}
}

// ofWorkspace picks a workspace's events; an organisation's reader gets all.
func ofWorkspace(events []Event, workspaceID string) []Event {
	if workspaceID == "" {
		return events
	}
	var picked []Event
	for _, e := range events {
		if e.WorkspaceID == workspaceID {
			picked = append(picked, e)
		}
	}
	return picked
}

// endOfFollowing says why a stream ends. The deletion of a workspace is the last
// event of its stream.
func endOfFollowing(ctx context.Context, reader *feed.Reader, workspaceID string, sink EventSink, err error) error {
	var known *sallyport.Error
	switch {
	case errors.Is(err, feed.ErrSlow):
		return sallyport.Errorf(sallyport.CodeSlowReader,
			"the reader is too slow: it is %d events behind; come again with the id of the last one to miss none", limits.EventLagMax)
	case ctx.Err() == nil && errors.As(err, &known) && known.Code == sallyport.CodePlatformUnavailable:
		return known
	case ctx.Err() == nil:
		return sallyport.Errorf(sallyport.CodeCanceled, "the reader has gone").Because(err)
	case errors.As(context.Cause(ctx), &known) && endsCalls(known.Code):
		if known.Code == sallyport.CodeWorkspaceDeleted {
			handOverRest(context.WithoutCancel(ctx), reader, workspaceID, sink)
		}
		return known
	}
	return sallyport.Errorf(sallyport.CodeCanceled, "the reader has gone").Because(err)
}

// handOverRest hands over the events that are in the store already.
func handOverRest(ctx context.Context, reader *feed.Reader, workspaceID string, sink EventSink) {
	ctx, cancel := context.WithTimeout(ctx, limits.EventReadTime)
	defer cancel()
	for {
		events, err := reader.Rest(ctx)
		if err != nil || len(events) == 0 {
			return // the missing events are in the organisation's activity
		}
		if events = ofWorkspace(events, workspaceID); len(events) > 0 && sink.Events(events) != nil {
			return
		}
	}
}
