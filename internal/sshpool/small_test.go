package sshpool_test

import (
	"net"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// small is an SSH server that takes few sessions on a connection, as sshd does
// with MaxSessions; nothing runs on them.
type small struct {
	config      *ssh.ServerConfig
	sessionsMax int
	// onLogin, where it isn't nil, is what the machine does besides.
	onLogin func(*ssh.ServerConn)

	mu       sync.Mutex // guards the fields below
	refused  int
	busiest  int // the most sessions that one connection had at once
	sessions map[*ssh.ServerConn]int
}

func newSmall(t testing.TB, sessionsMax int) (*machine, *small) {
	t.Helper()
	signer, hostKey := newSigner(t), newSigner(t)
	s := &small{
		sessionsMax: sessionsMax, sessions: map[*ssh.ServerConn]int{},
		config: &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
			return &ssh.Permissions{}, nil
		}},
	}
	s.config.AddHostKey(hostKey)
	return &machine{serve: s.serve, key: hostKey.PublicKey(), signer: signer}, s
}

func (s *small) serve(conn net.Conn) {
	defer conn.Close()
	server, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return
	}
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { ssh.DiscardRequests(requests) })
	if s.onLogin != nil {
		work.Go(func() { s.onLogin(server) })
	}
	for offered := range channels {
		if !s.take(server) {
			offered.Reject(ssh.ConnectionFailed, "open failed") // sshd's words
			continue
		}
		work.Go(func() {
			defer s.leave(server)
			if channel, requests, err := offered.Accept(); err == nil {
				ssh.DiscardRequests(requests)
				channel.Close()
			}
		})
	}
}

func (s *small) take(on *ssh.ServerConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[on] >= s.sessionsMax {
		s.refused++
		return false
	}
	s.sessions[on]++
	s.busiest = max(s.busiest, s.sessions[on])
	return true
}

func (s *small) leave(on *ssh.ServerConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[on]--
}

func (s *small) counts() (refused, busiest int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused, s.busiest
}
