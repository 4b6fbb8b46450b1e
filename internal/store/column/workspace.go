package column

import (
	"database/sql"
	"errors"
	"fmt"

	"sallyport/client/sallyport"
	"sallyport/internal/store"
)

// ScanWorkspace reads position, id, org_id, name, tier, labels, connector, sealed_key,
// connector_version, forward_allow, record_terminals, created_at, updated_at.
func ScanWorkspace(row Scanner) (store.Positioned[store.Workspace], error) {
	var (
		ws               store.Positioned[store.Workspace]
		labels           string
		connector, allow sql.NullString
		created, updated sql.NullInt64
	)
	r := &ws.Record
	err := row.Scan(&ws.Position, &r.ID, &r.OrgID, &r.Name, &r.Tier, &labels, &connector, &r.SealedKey, &r.ConnectorVersion, &allow,
		&r.RecordTerminals, &created, &updated)
	if err != nil {
		return ws, err
	}
	r.CreatedAt, r.UpdatedAt, ws.Size = Loaded(created), Loaded(updated), size(labels, connector.String, allow.String)
	if err := ReadJSON(labels, &r.Labels); err != nil {
		return ws, fmt.Errorf("decode labels of workspace %s: %w", r.ID, err)
	}
	if allow.Valid {
		if err := ReadJSON(allow.String, &r.ForwardAllow); err != nil {
			return ws, fmt.Errorf("decode forward_allow of workspace %s: %w", r.ID, err)
		}
	}
	if !connector.Valid {
		return ws, nil
	}
	r.Connector = new(sallyport.Connector)
	if err := ReadJSON(connector.String, r.Connector); err != nil {
		return ws, fmt.Errorf("decode connector of workspace %s: %w", r.ID, err)
	}
	return ws, nil
}

// WorkspaceJSON is the columns of a workspace that hold JSON; NULL is what it has none of.
type WorkspaceJSON struct {
	Labels                  string
	Connector, ForwardAllow sql.NullString
}

// Workspace returns the columns that hold JSON. A private key that is not sealed is an error.
func Workspace(ws store.Workspace) (columns WorkspaceJSON, err error) {
	if ws.Labels == nil {
		ws.Labels = map[string]string{}
	}
	if columns.Labels, err = JSON(ws.Labels); err != nil {
		return columns, fmt.Errorf("encode labels: %w", err)
	}
	if ws.ForwardAllow != nil {
		allow, err := JSON(ws.ForwardAllow)
		if err != nil {
			return columns, fmt.Errorf("encode forward_allow: %w", err)
		}
		columns.ForwardAllow = Text(allow)
	}
	if ws.Connector == nil {
		return columns, nil
	}
	if auth := ws.Connector.Auth; auth != nil && auth.PrivateKey != "" {
		return columns, errors.New("a private key must be sealed before it is stored")
	}
	connector, err := JSON(ws.Connector)
	if err != nil {
		return columns, fmt.Errorf("encode connector: %w", err)
	}
	columns.Connector = Text(connector)
	return columns, nil
}
