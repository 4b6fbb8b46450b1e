package httpapi

import (
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/client/frame"
	"sallyport/internal/limits"

	"sallyport/client/sallyport"
)

// A quiet stream carries an empty line every 15 seconds, a busy one none.
func TestKeepalive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := httptest.NewRecorder()
		s := newStream(rec, frame.NDJSON, func(name string) goingOutput { return frame.NewStream(frame.NDJSON, name, 1<<20) }, limits.KeepaliveFrameEvery)
		body := func() string { // what the keep-alive's timer writes it writes under the lock
			s.mu.Lock()
			defer s.mu.Unlock()
			return rec.Body.String()
		}
		s.start()
		const out = `{"stream":"stdout","data":"x","truncated":false}` + "\n"
		want := ""
		for range 3 { // busy
			<-time.After(limits.KeepaliveFrameEvery - time.Second)
			s.stdout.Write([]byte("x"))
			want += out
		}
		synctest.Wait()
		if got := body(); got != want {
			t.Errorf("busy: got %q, want %q", got, want)
		}
		<-time.After(2*limits.KeepaliveFrameEvery + time.Second) // quiet
		synctest.Wait()
		want += "\n\n"
		if got := body(); got != want {
			t.Errorf("quiet: got %q, want %q", got, want)
		}
		s.end(sallyport.ExecResult{})
		<-time.After(2 * limits.KeepaliveFrameEvery)
		want += `{"exit_code":0,"duration_ms":0}` + "\n"
		if got := body(); got != want {
			t.Errorf("ended: got %q, want %q", got, want)
		}
		if _, err := s.stdout.Write([]byte("late")); err == nil {
			t.Error("a write after the end was taken")
		}
	})
}
