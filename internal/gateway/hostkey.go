package gateway

import (
	"context"
	"errors"
	"fmt"

	"sallyport/client/sallyport"
	"sallyport/internal/access"
	"sallyport/internal/audit"
	"sallyport/internal/sshpool"
	"sallyport/internal/store"
)

// checkHostKey compares the host key of a machine with the one that its workspace knows,
// and pins the first key that the machine shows where the workspace says so. A key that
// differs is refused, recorded, and never pinned by itself. It returns
// host_key_mismatch, or platform_unavailable when a pin can't be stored.
func (g *Gateway) checkHostKey(ctx context.Context, by Caller, ws store.Workspace, key sshpool.HostKey) error {
	known := ws.Connector.HostKey
	if known == "" && ws.Connector.TrustOnFirstUse {
		var err error
		if known, err = g.pinHostKey(ctx, by, ws, key); err != nil {
			return err
		}
	}
	if known == key.Line {
		return nil
	}
	mismatch := sallyport.Errorf(sallyport.CodeHostKeyMismatch,
		"the machine's host key has changed: it may not be the machine that it was; if it is, set the new key (connector.host_key)")
	err := g.Audit.Record(ctx, audit.Event{
		Type: sallyport.ActivityHostKeyMismatch, By: by.Principal, ClientAddr: by.Addr, OrgID: ws.OrgID, WorkspaceID: ws.ID,
		Summary: fmt.Sprintf("workspace %s: host key %s is not the one it is known by", ws.Name, key.Fingerprint),
		Code:    sallyport.CodeHostKeyMismatch,
	})
	if err != nil {
		return err
	}
	return mismatch
}

var errPinned = errors.New("a key is pinned already")

// pinHostKey stores the first key that the machine showed, and returns the pinned key: a
// concurrent connection may have pinned another one first.
func (g *Gateway) pinHostKey(ctx context.Context, by Caller, ws store.Workspace, key sshpool.HostKey) (pinned string, err error) {
	_, err = g.Workspaces.UpdateWorkspace(ctx, ws.OrgID, ws.ID, func(now *store.Workspace) (store.ActivityChange, error) {
		switch {
		case now.Connector == nil || now.ConnectorVersion != ws.ConnectorVersion:
			return store.ActivityChange{}, sallyport.Errorf(sallyport.CodeConnectFailed, "the workspace's connector has just been changed; try again")
		case now.Connector.HostKey != "":
			pinned = now.Connector.HostKey
			return store.ActivityChange{}, errPinned
		}
		now.Connector.HostKey, pinned = key.Line, key.Line
		now.UpdatedAt = g.Now().UTC()
		return g.Access.Event(by, sallyport.ActivityHostKeyPinned, ws.OrgID, ws.ID, "workspace %s: host key %s pinned, the first that was seen", ws.Name, key.Fingerprint), nil
	})
	// Other servers needn't know: who finds no key in a workspace asks the store, as here.
	g.Access.ClearCache()
	if errors.Is(err, errPinned) {
		return pinned, nil
	}
	return pinned, access.StoreError(err, access.Workspace)
}
