package gateway

import (
	"context"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/sshpool"
)

// Connection tells how a workspace's machine is reached now, by this server; the
// machine isn't asked. It returns workspace_not_found, scope_forbidden or
// workspace_has_no_host.
func (g *Gateway) Connection(ctx context.Context, by Caller, ref Ref) (sallyport.Connection, error) {
	ws, err := g.Access.Workspace(ctx, by, ref)
	if err != nil {
		return sallyport.Connection{}, err
	}
	if err := g.Access.Check(ctx, by, g.Access.Rules.ReadConnection, &ws, "see the connection"); err != nil {
		return sallyport.Connection{}, err
	}
	if ws.Connector == nil {
		return sallyport.Connection{}, sallyport.Errorf(sallyport.CodeWorkspaceHasNoHost, "workspace %s has no host: give it a connector first", ws.Name)
	}
	return wireConnection(g.Pool.State(target(ws).Key)), nil
}

func wireConnection(s sshpool.State) sallyport.Connection {
	c := sallyport.Connection{
		State: string(s.Phase), Since: wireTime(s.Since), Connections: s.Connections, Sessions: s.Sessions,
		SessionsPerConnection: s.SessionsPerConnection, Waiting: s.Waiting,
		HostKey: s.HostKey.Line, HostKeyFingerprint: s.HostKey.Fingerprint, NextDialAt: wireTime(s.NotBefore),
	}
	if s.LastError != nil {
		c.LastError = &sallyport.ConnectionError{
			Message: s.LastError.Message, Code: s.LastError.Code, Reason: s.LastError.Reason, At: *wireTime(s.LastErrorAt),
		}
	}
	return c
}

// wireTime is a time as records have it; nil for none.
func wireTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Microsecond)
	return &t
}
