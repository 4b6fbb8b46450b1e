package store

import (
	"errors"
	"strings"
)

// CheckURL refuses a database's URL in which a password may have ended up in what is shown: where a
// slash, a question mark or a number sign in it is taken for the end of the host, the
// host's name is a part of the password.
func CheckURL(url string) error {
	scheme, rest, isURL := strings.Cut(url, "://")
	if !isURL || strings.Contains(scheme, "=") {
		return nil // of the form keyword=value, whose words have no such places
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 && strings.Contains(rest[end:], "@") {
		return errors.New("the database's URL can't be read: behind its host is an @. " +
			"In a password write @ as %40, / as %2F, ? as %3F, # as %23 and % as %25 (the URL isn't shown here, since it may hold a password)")
	}
	return nil
}
