package gateway

import (
	"context"
	"fmt"

	"sallyport"
	"sallyport/internal/connector"
	"sallyport/internal/sshpool"
	"sallyport/internal/store"
)

// target is the machine of a workspace for the pool. Its key changes whenever
// somebody sets the connector: no connection outlives what it was made from. It is
// by who asks that a host key is pinned, if one is. execID is for the log; empty for
// what is no exec.
func (g *Gateway) target(by Caller, ws store.Workspace, execID string) sshpool.Target {
	return sshpool.Target{
		Key:          fmt.Sprintf("%s/%d", ws.ID, ws.ConnectorVersion),
		Dial:         func(ctx context.Context) (*connector.Link, error) { return g.dial(ctx, ws, execID) },
		HostKey:      ws.Connector.HostKey,
		CheckHostKey: func(ctx context.Context, key sshpool.HostKey) error { return g.checkHostKey(ctx, by, ws, key) },
	}
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
	target := connector.Target{WorkspaceID: ws.ID, Spec: *ws.Connector, SealedKey: ws.SealedKey}
	if ws.Connector.Type != sallyport.ConnectorEIC {
		return target, nil
	}
	org, err := g.Orgs.Org(ctx, ws.OrgID)
	if err != nil {
		return target, unavailable(err)
	}
	target.AWS = org.AWS
	return target, nil
}
