//go:build linux

// Package faults puts a whole server under what goes wrong: callers that hang
// up, stall or flood, a store that goes away, kill -9, a drain in full swing.
// What must hold then is what the contract promises when all is well: no exec
// without its row, no row left open, no process left behind, no secret at rest.
//
// Where a fault would take the test with it the server is a child process: the
// test's own program, run again. What the tests look at in /proc makes them
// Linux's.
package faults

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	_ "sallyport/test/apart"
)

func TestMain(m *testing.M) {
	if spec, ok := os.LookupEnv(childVariable); ok {
		os.Exit(runChild(spec))
	}
	if told, ok := os.LookupEnv(attackVariable); ok {
		os.Exit(runAttack(told))
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		removeProgram()
		os.Exit(code)
	}))
}

// holds polls until ok holds, and tells whether it did within limit.
func holds(limit time.Duration, ok func() bool) bool {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			return ok()
		}
	}
	return true
}

// await ends the test when what was awaited doesn't come within limit.
func await(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	if !holds(limit, ok) {
		t.Fatalf("waited %s in vain: %s", limit, what)
	}
}

// within ends the test when f takes longer than limit, and returns what it says.
func within[T any](t testing.TB, limit time.Duration, what string, f func() T) T {
	t.Helper()
	done := make(chan T, 1)
	go func() { done <- f() }()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	select {
	case v := <-done:
		return v
	case <-deadline.C:
		t.Fatalf("%s took longer than %s", what, limit)
		panic("not reached")
	}
}

// newRand returns a source of chance that FAULTS_SEED can bring back.
func newRand(t testing.TB) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv("FAULTS_SEED"); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("FAULTS_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, seed))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
