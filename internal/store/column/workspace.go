package column

import (
	"database/sql"
	"errors"
	"fmt"

	"sallyport/client/sallyport"
	"sallyport/internal/store"
)

// ScanWorkspace reads position, id, org_id, name, tier, labels, connector, sealed_key,
// connector_version, created_at, updated_at.
func ScanWorkspace(row Scanner) (store.Positioned[store.Workspace], error) {
	var (
		ws               store.Positioned[store.Workspace]
		labels           string
		connector        sql.NullString
		created, updated sql.NullInt64
	)
	r := &ws.Record
	err := row.Scan(&ws.Position, &r.ID, &r.OrgID, &r.Name, &r.Tier, &labels, &connector, &r.SealedKey, &r.ConnectorVersion,
		&created, &updated)
	if err != nil {
		return ws, err
	}
	r.CreatedAt, r.UpdatedAt, ws.Size = Loaded(created), Loaded(updated), size(labels, connector.String)
	if err := ReadJSON(labels, &r.Labels); err != nil {
		return ws, fmt.Errorf("decode labels of workspace %s: %w", r.ID, err)
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

// Workspace returns the columns that hold JSON. The connector of a workspace without a
// host is the empty string. A private key that is not sealed is an error.
func Workspace(ws store.Workspace) (labels, connector string, err error) {
	if ws.Labels == nil {
		ws.Labels = map[string]string{}
	}
	if labels, err = JSON(ws.Labels); err != nil {
		return "", "", fmt.Errorf("encode labels: %w", err)
	}
	if ws.Connector == nil {
		return labels, "", nil
	}
	if auth := ws.Connector.Auth; auth != nil && auth.PrivateKey != "" {
		return "", "", errors.New("a private key must be sealed before it is stored")
	}
	if connector, err = JSON(ws.Connector); err != nil {
		return "", "", fmt.Errorf("encode connector: %w", err)
	}
	return labels, connector, nil
}
