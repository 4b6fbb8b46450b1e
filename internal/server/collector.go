package server

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"

	"sallyport/internal/limits"
)

// raiseCollectorFloor keeps the garbage collector from running before the heap has
// limits.CollectorFloorBytes: it would run each few MiB of a stream, since the server itself
// keeps little. It returns a function that ends this. Where the operator has set GOGC or
// GOMEMLIMIT it does nothing: these say how much memory there is.
func raiseCollectorFloor() (end func() error) {
	if isCollectorSet() {
		return func() error { return nil }
	}
	// The collector runs when the heap has doubled. These bytes count as half of the floor;
	// they are never written, so that the system gives no memory for them.
	unused := make([]byte, limits.CollectorFloorBytes/2)
	return func() error {
		runtime.KeepAlive(unused)
		return nil
	}
}

// isCollectorSet reports whether GOGC or GOMEMLIMIT is other than Go's default.
func isCollectorSet() bool {
	percent := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(percent)
	return percent[0].Value.Kind() != metrics.KindUint64 || percent[0].Value.Uint64() != 100 || debug.SetMemoryLimit(-1) != math.MaxInt64
}
