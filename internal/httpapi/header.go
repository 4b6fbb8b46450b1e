package httpapi

import (
	"slices"
	"strings"
)

// elements are those of a header that is a list (RFC 9110, section 5.6.1), in whichever lines
// they came.
func elements(values []string) []string {
	all := strings.Split(strings.Join(values, ","), ",")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return all
}

// hasToken tells whether a header that is a list has an element, in either case.
func hasToken(values []string, token string) bool {
	return slices.ContainsFunc(elements(values), func(element string) bool { return strings.EqualFold(element, token) })
}
