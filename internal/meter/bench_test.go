package meter

import (
	"log/slog"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
	_ "sallyport/test/apart"
)

// BenchmarkExec is all that a warm exec pays for being counted, its request and its
// two commits too.
func BenchmarkExec(b *testing.B) {
	m := New("bench", slog.New(slog.DiscardHandler))
	now := time.Now()
	zero := 0
	b.ReportAllocs()
	for b.Loop() {
		m.RequestBegan()
		m.Act(&gateway.ActReport{
			Type:      sallyport.ActivityExec,
			Connector: sallyport.ConnectorLocal, Status: sallyport.StatusOK, Warm: true, Exec: gateway.ExecReport{ExitCode: &zero, StdoutBytes: 12},
			Began: now, Authorized: now, Recorded: now, Reached: now, Started: now, Ended: now, Finished: now.Add(time.Millisecond),
		})
		m.RequestAnswered("/workspaces/{workspace}/exec", "POST", 200, time.Millisecond)
	}
}

// BenchmarkExecParallel tells whether execs wait for each other.
func BenchmarkExecParallel(b *testing.B) {
	m := New("bench", slog.New(slog.DiscardHandler))
	now := time.Now()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m.RequestBegan()
			m.Act(&gateway.ActReport{
				Type:      sallyport.ActivityExec,
				Connector: sallyport.ConnectorLocal, Status: sallyport.StatusOK, Warm: true,
				Began: now, Authorized: now, Recorded: now, Reached: now, Started: now, Ended: now, Finished: now,
			})
			m.RequestAnswered("/workspaces/{workspace}/exec", "POST", 200, time.Millisecond)
		}
	})
}
