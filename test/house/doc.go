// Package house holds the tests about the code itself: who may import whom
// (the ladder and the bans), habits that keep the code small and quiet (tidy),
// and the licences of what the program is built from.
//
// Each rule is a row in a table with its reason. What a rule must let pass for
// now stands in exceptions.go, which may only shrink: an entry that is no
// longer needed fails the test as a violation does.
package house
