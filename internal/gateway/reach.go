package gateway

import (
	"context"
	"fmt"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/access"
	"sallyport/internal/connector"
	"sallyport/internal/sshpool"
	"sallyport/internal/store"
)

// target is the machine of a workspace for the pool: what all its callers share. Its key
// changes whenever the connector is set: no connection outlives what it was made from.
func target(ws store.Workspace) sshpool.Target {
	return sshpool.Target{Key: fmt.Sprintf("%s/%d", ws.ID, ws.ConnectorVersion), Owner: ws.OrgID, HostKey: ws.Connector.HostKey}
}

// need is what one caller brings to the pool: a dial that is caused by it is made, and
// recorded, on its behalf. execID is for the log; empty for what is no exec. life is how
// long the caller will use a session at most.
func (g *Gateway) need(by Caller, ws store.Workspace, execID string, life time.Duration) sshpool.Need {
	return sshpool.Need{Life: life, By: sshpool.Dialer{
		Dial:         func(ctx context.Context) (*connector.Link, error) { return g.dial(ctx, ws, execID) },
		CheckHostKey: func(ctx context.Context, key sshpool.HostKey) error { return g.checkHostKey(ctx, by, ws, key) },
	}}
}

// dial goes the way to a workspace's machine, by its connector.
func (g *Gateway) dial(ctx context.Context, ws store.Workspace, execID string) (*connector.Link, error) {
	c, ok := g.Connectors[ws.Connector.Type]
	if !ok {
		return nil, sallyport.Errorf(sallyport.CodeConnectFailed, "the connector %s is not enabled on this server", ws.Connector.Type)
	}
	target, err := g.connectorTarget(ctx, ws)
	if err != nil {
		return nil, err
	}
	target.ExecID = execID
	return c.Dial(ctx, target)
}

// connectorTarget is all that a connector must know of a workspace.
func (g *Gateway) connectorTarget(ctx context.Context, ws store.Workspace) (connector.Target, error) {
	target := connector.Target{OrgID: ws.OrgID, WorkspaceID: ws.ID, Spec: *ws.Connector, SealedKey: ws.SealedKey}
	if ws.Connector.Type != sallyport.ConnectorEIC {
		return target, nil
	}
	org, err := g.Orgs.Org(ctx, ws.OrgID)
	if err != nil {
		return target, access.Unavailable(err)
	}
	target.AWS = org.AWS
	return target, nil
}
