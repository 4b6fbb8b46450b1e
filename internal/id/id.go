// Package id makes and recognises the identifiers of Sallyport's records.
package id

import "github.com/google/uuid"

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
