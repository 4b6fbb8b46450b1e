// Package id makes and recognises the identifiers of Sallyport's records.
package id

import (
	"time"

	"github.com/google/uuid"
)

// New returns a UUIDv7 (RFC 9562) in its canonical form. Later ids of one
// process sort after earlier ones.
func New() string {
	return uuid.Must(uuid.NewV7()).String()
}

// Is tells whether s has the form of an id: a UUID in canonical lower case.
// A name never has it.
func Is(s string) bool {
	if len(s) != 36 {
		return false
	}
	u, err := uuid.Parse(s)
	return err == nil && u.String() == s
}

// Time returns when an id of New's was made, to the millisecond. ok is false for any other.
func Time(s string) (made time.Time, ok bool) {
	u, err := uuid.Parse(s)
	if err != nil || u.Version() != 7 || !Is(s) {
		return time.Time{}, false
	}
	var ms int64
	for _, b := range u[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms), true
}
