//go:build linux

package faults

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/client/sallyport"
)

// running returns those of the ids of which a process is alive: it finds them as
// the server does, by what stands in a process's environment.
func running(ids []string) []string {
	alive := map[string]bool{}
	files, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is well formed
	for _, file := range files {
		environ, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended, or is not ours to look at
		}
		for entry := range bytes.SplitSeq(environ, []byte{0}) {
			if id, ok := strings.CutPrefix(string(entry), "SALLYPORT_EXEC_ID="); ok {
				alive[id] = true
			}
		}
	}
	var found []string
	for _, id := range ids {
		if alive[id] {
			found = append(found, id)
		}
	}
	return found
}

// mustBeGone checks that no process of the rows' execs is left.
func mustBeGone(t testing.TB, rows []sallyport.Activity) {
	t.Helper()
	var ids []string
	for _, row := range rows {
		ids = append(ids, row.ID)
	}
	// A process that was killed takes a moment to be gone.
	if !holds(2*time.Second, func() bool { return len(running(ids)) == 0 }) {
		t.Errorf("processes are left of %q", running(ids))
	}
}

// byID files rows by their ids, each of which must be there once.
func byID(t testing.TB, rows []sallyport.Activity) map[string]sallyport.Activity {
	t.Helper()
	filed := map[string]sallyport.Activity{}
	for _, row := range rows {
		if _, there := filed[row.ID]; there {
			t.Errorf("row %s is there twice", row.ID)
		}
		filed[row.ID] = row
	}
	return filed
}

// count tells how many rows have each status.
func count(rows []sallyport.Activity) map[string]int {
	n := map[string]int{}
	for _, row := range rows {
		n[row.Status]++
	}
	return n
}
