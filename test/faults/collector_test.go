//go:build linux

package faults

import (
	"net/http"
	"regexp"
	"strconv"
	"testing"
)

// The garbage collector leaves a server's heap alone until it has 32 MiB, unless the operator
// has said how much memory there is.
func TestCollectorFloor(t *testing.T) {
	const floor = 32 << 20
	for name, tt := range map[string]struct {
		env      []string
		hasFloor bool
	}{
		"default":    {[]string{"GOGC=100"}, true},
		"GOGC":       {[]string{"GOGC=90"}, false},
		"GOGC off":   {[]string{"GOGC=off", "GOMEMLIMIT=20MiB"}, false},
		"GOMEMLIMIT": {[]string{"GOGC=100", "GOMEMLIMIT=2GiB"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startChild(t, childOptions{processEnv: tt.env})
			if goal := heapGoal(t, server); goal >= floor != tt.hasFloor {
				t.Errorf("the next collection is at %.1f MiB, at 32 or more: want %t", goal/(1<<20), tt.hasFloor)
			}
		})
	}
}

// heapGoal is the size of the heap, in bytes, at which it is collected next.
func heapGoal(t *testing.T, server *child) float64 {
	t.Helper()
	metrics := server.Do(t, http.MethodGet, "/metrics", "", "").Body
	found := regexp.MustCompile(`(?m)^go_memstats_next_gc_bytes (\S+)$`).FindStringSubmatch(metrics)
	if found == nil {
		t.Fatalf("no heap in %s", metrics)
	}
	goal, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return goal
}
