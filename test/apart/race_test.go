//go:build race

package apart_test

// isRace: the race detector watches.
const isRace = true
