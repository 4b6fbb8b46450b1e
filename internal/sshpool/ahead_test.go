package sshpool_test

import (
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/limits"
	"sallyport/internal/sshpool"
)

// One session is opened ahead on a connection that is in use, within its slots, and
// the next act has it.
func TestOpenAhead(t *testing.T) {
	t.Parallel()
	m, s := newSmall(t, 10)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{SessionsPerConnection: 3}, m)
		for i := range 3 {
			open(t, p, m.target("k"))
			synctest.Wait()
			if _, busiest := s.counts(); busiest != min(i+2, 3) {
				t.Errorf("%d sessions for %d acts", busiest, i+1)
			}
			if state := p.State("k"); state.Sessions != i+1 {
				t.Errorf("%d sessions in use", state.Sessions)
			}
		}
		m.wantConnections(t, 1)
	})
}

// On a connection that has been quiet nobody knows that the machine is still there:
// the session that was opened ahead is not used unasked.
func TestOpenAheadIsNotTrustedForLong(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{}, m)
		open(t, p, m.target("k")).Close()
		synctest.Wait()
		<-time.After(limits.AheadTrustTime + time.Millisecond)
		m.connections()[0].silence()
		s := open(t, p, m.target("k")) // on another connection
		m.wantConnections(t, 2)
		s.Close()
	})
}

// What was learned of a machine's capacity in a bad moment is tried again, one more
// at a time, and only where somebody needs it.
func TestCapacityGrowsBack(t *testing.T) {
	t.Parallel()
	m, s := newSmall(t, 1)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{ConnectionsPerKey: 1}, m)
		first := open(t, p, m.target("k"))
		synctest.Wait()
		if got := p.State("k").SessionsPerConnection; got != 1 {
			t.Fatalf("%d sessions are thought to be taken, want 1", got)
		}
		s.mu.Lock()
		s.sessionsMax = 10
		s.mu.Unlock()
		for want := 2; want <= limits.SessionsPerConnection; want++ {
			<-time.After(limits.SlotsGrowAfter)
			open(t, p, m.target("k"))
			synctest.Wait()
			if got := p.State("k").SessionsPerConnection; got != want {
				t.Errorf("%d sessions are thought to be taken, want %d", got, want)
			}
		}
		<-time.After(limits.SlotsGrowAfter)
		full := openLater(t.Context(), p, m.target("k"))
		synctest.Wait()
		if isDone(full.done) {
			t.Error("it grew past its bound")
		}
		first.Close()
		<-full.done
	})
}
