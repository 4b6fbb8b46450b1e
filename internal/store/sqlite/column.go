package sqlite

import (
	"context"
	"database/sql"

	"sallyport/internal/store"
	"sallyport/internal/store/column"
)

// querier is a *sql.DB or *sql.Conn.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// list runs a query and scans each of its rows.
func list[T any](
	ctx context.Context, from querier, scan func(column.Scanner) (T, error), query string, args ...any,
) ([]T, error) {
	rows, err := from.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	records := []T{}
	for rows.Next() {
		record, err := scan(rows)
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return records, rows.Err()
}

// listPage is list for a page, which it ends as page.Bytes demands.
func listPage[T any](
	ctx context.Context, from querier, page store.Page, scan func(column.Scanner) (store.Positioned[T], error), query string, args ...any,
) ([]store.Positioned[T], error) {
	rows, err := from.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	records, bytes := []store.Positioned[T]{}, 0
	for rows.Next() {
		record, err := scan(rows)
		if err != nil {
			return nil, err
		}
		records = append(records, record)
		if bytes += min(record.Size, page.Bytes); page.Bytes > 0 && bytes > page.Bytes {
			return records, nil
		}
	}
	return records, rows.Err()
}

// limit keeps a negative limit from meaning none.
func limit(page store.Page) int { return max(page.Limit, 0) }
