package access

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
	"sallyport/internal/store"
)

// PageRequest is a caller's wish for a part of a listing.
type PageRequest struct {
	// Limit is 1 or more; more than limits.PageMax is limits.PageMax. 0 is the default.
	Limit int
	// Cursor is the NextCursor of the page before, or empty.
	Cursor string
}

// cursor is a position in one listing. It is bound to the listing's scope: one
// that was made for another listing is as invalid as a made-up one. It carries
// no right: what a page shows depends on who asks.
func cursor(scope string, position int64) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(position))
	return base64.RawURLEncoding.EncodeToString(append(b, cursorSum(scope, b)...))
}

func parseCursor(scope, s string) (int64, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != 16 || string(cursorSum(scope, b[:8])) != string(b[8:]) {
		return 0, sallyport.Errorf(sallyport.CodeInvalidCursor, "the cursor is not one of this list; leave it out to start again")
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}

func cursorSum(scope string, position []byte) []byte {
	sum := sha256.Sum256(append([]byte(scope+"\x00"), position...))
	return sum[:8]
}

// StorePage returns the page to ask the store for: one record more than the caller
// gets, to learn whether there is a next page, and of limits.PageBytesMax. scope names the
// listing. It returns invalid_cursor.
func StorePage(scope string, page PageRequest) (store.Page, error) {
	p := store.Page{Limit: min(page.Limit, limits.PageMax) + 1, Bytes: limits.PageBytesMax}
	if page.Limit == 0 {
		p.Limit = limits.PageDefault + 1
	}
	if page.Cursor == "" {
		return p, nil
	}
	after, err := parseCursor(scope, page.Cursor)
	p.After = after
	return p, err
}

// List turns what the store answered for p into a page of the wire.
func List[R, W any](scope string, p store.Page, found []store.Positioned[R], wire func(R) W) sallyport.List[W] {
	out := sallyport.List[W]{Items: make([]W, 0, len(found))}
	bytes := 0
	for i, r := range found {
		if bytes += r.Size; i == p.Limit-1 || i > 0 && bytes > p.Bytes {
			out.NextCursor = cursor(scope, found[i-1].Position)
			break
		}
		out.Items = append(out.Items, wire(r.Record))
	}
	return out
}
