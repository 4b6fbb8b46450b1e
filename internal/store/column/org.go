package column

import (
	"database/sql"
	"fmt"

	"sallyport/client/sallyport"
	"sallyport/internal/store"
)

// ScanOrg reads position, id, name, created_at, aws, limits.
func ScanOrg(row Scanner) (store.Positioned[store.Org], error) {
	var (
		org     store.Positioned[store.Org]
		created sql.NullInt64
		aws     sql.NullString
		limits  sql.NullString
	)
	err := row.Scan(&org.Position, &org.Record.ID, &org.Record.Name, &created, &aws, &limits)
	org.Record.CreatedAt, org.Size = Loaded(created), size(aws.String, limits.String)
	if err == nil && aws.Valid {
		err = ReadJSON(aws.String, &org.Record.AWS)
	}
	if err == nil && limits.Valid {
		err = ReadJSON(limits.String, &org.Record.Limits)
	}
	if err != nil {
		return org, fmt.Errorf("read organisation %s: %w", org.Record.ID, err)
	}
	return org, nil
}

// Org is an organisation's access to AWS and its limits as they are kept; NULL is
// none.
func Org(org store.Org) (aws, limits sql.NullString, err error) {
	if org.AWS != (sallyport.OrgAWS{}) {
		kept, err := JSON(org.AWS)
		if err != nil {
			return aws, limits, err
		}
		aws = Text(kept)
	}
	if org.Limits != (sallyport.OrgLimits{}) {
		kept, err := JSON(org.Limits)
		if err != nil {
			return aws, limits, err
		}
		limits = Text(kept)
	}
	return aws, limits, nil
}
