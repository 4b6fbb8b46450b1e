package sshpool_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/client/sallyport"
	"sallyport/internal/connector"
	"sallyport/internal/limits"
	"sallyport/internal/sshpool"
)

// The state of a machine's connections goes with what happens.
func TestState(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{}, m)
		want := func(phase sshpool.Phase, since time.Time, connections, sessions int) sshpool.State {
			t.Helper()
			synctest.Wait()
			s := p.State("k")
			if s.Phase != phase || !s.Since.Equal(since) || s.Connections != connections || s.Sessions != sessions {
				t.Errorf("state %+v, want %s since %v, %d, %d", s, phase, since, connections, sessions)
			}
			return s
		}
		if s := want(sshpool.None, time.Time{}, 0, 0); s.HostKey != (sshpool.HostKey{}) || s.LastError != nil || s.SessionsPerConnection != limits.SessionsPerConnection {
			t.Errorf("state %+v of a key that nobody used", s)
		}
		m.gate = make(chan struct{})
		first := openLater(t.Context(), p, m.target("k"))
		want(sshpool.Connecting, time.Now(), 0, 0)
		m.gate <- struct{}{}
		<-first.done
		connected := p.State("k").Since
		<-time.After(time.Second)
		s := want(sshpool.Connected, connected, 1, 1)
		if s.HostKey.Line+"\n" != string(ssh.MarshalAuthorizedKey(m.key)) || s.HostKey.Fingerprint != ssh.FingerprintSHA256(m.key) || s.LastError != nil || !s.NotBefore.IsZero() {
			t.Errorf("state %+v", s)
		}
		first.session.Close()
		want(sshpool.Idle, connected, 1, 0)

		m.connections()[0].close()
		ended := time.Now()
		s = want(sshpool.None, ended, 0, 0)
		if s.LastError.Reason != sallyport.ReasonConnectionLost || !s.LastErrorAt.Equal(ended) {
			t.Errorf("last error %v at %v", s.LastError, s.LastErrorAt)
		}
		<-time.After(time.Second)
		failing := newCall("k", func(context.Context) (*connector.Link, error) { return nil, errors.New("no route") })
		_, err := openOn(t.Context(), p, failing)
		s = want(sshpool.BackingOff, time.Now(), 0, 0)
		if s.LastError.Error() != err.Error() || s.NotBefore.Before(time.Now()) || s.HostKey.Line == "" {
			t.Errorf("state %+v", s)
		}
		<-time.After(limits.DialBackoffMin)
		if s = want(sshpool.None, ended, 0, 0); s.LastError == nil || !s.NotBefore.IsZero() {
			t.Errorf("state %+v", s)
		}
	})
}

// A connection that nobody needed any more leaves no error.
func TestStateAfterIdle(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{}, m)
		open(t, p, m.target("k")).Close()
		<-time.After(2 * limits.ConnectionIdleTime)
		if s := p.State("k"); s.Phase != sshpool.None || s.LastError != nil || s.HostKey.Line == "" {
			t.Errorf("state %+v", s)
		}
		<-time.After(limits.MachineMemoryTime + limits.ConnectionIdleTime)
		if s := p.State("k"); s.HostKey.Line != "" {
			t.Errorf("remembered for ever: %+v", s)
		}
	})
}

// What is remembered has a bound: those go that nobody asked for in the longest time.
func TestMachinesRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &sshpool.Pool{}
		defer p.Close()
		for i := range limits.MachinesRemembered + 1 {
			_, err := openOn(t.Context(), p, newCall(fmt.Sprint(i), func(context.Context) (*connector.Link, error) { return nil, errors.New("no route") }))
			wantCode(t, err, sallyport.CodeConnectFailed)
			<-time.After(time.Millisecond)
		}
		if p.State("0").LastError != nil {
			t.Error("the oldest is remembered")
		}
		if p.State(fmt.Sprint(limits.MachinesRemembered)).LastError == nil {
			t.Error("the newest is forgotten")
		}
	})
}

// Over all machines there are only so many idle connections: the one idle for
// longest goes, at once, and none in use.
func TestIdleConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	m, _ := newHost(t)
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &sshpool.Pool{ConnectionsIdleMax: 2}, m)
		held := open(t, p, m.target("held"))
		for _, key := range []string{"a", "b", "a", "c"} {
			<-time.After(time.Second)
			open(t, p, m.target(key)).Close()
			synctest.Wait()
		}
		for key, want := range map[string]int{"held": 1, "a": 1, "b": 0, "c": 1} {
			if got := p.State(key).Connections; got != want {
				t.Errorf("%s has %d connections, want %d", key, got, want)
			}
		}
		if isDone(held.Lost()) {
			t.Error("a connection in use was closed")
		}
		m.wantConnections(t, 4)
		held.Close()
		synctest.Wait()
		if p.State("a").Connections != 0 || p.State("held").Connections != 1 {
			t.Error("another one was closed than that idle for longest")
		}
	})
}
