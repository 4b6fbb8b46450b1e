//go:build linux && !race

package faults

// raceMemory is by how much more memory a server takes under the race detector.
const raceMemory = 1
