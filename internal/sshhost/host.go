// Package sshhost is an SSH server inside this process. It runs commands as
// the user who runs the process, and behaves towards any SSH client as
// OpenSSH's sshd does: a session runs one command line by the login shell,
// on a terminal if the client asks for one, or an SFTP server.
package sshhost

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/crypto/ssh"
)

// Config says who may log in, and as whom commands run.
type Config struct {
	// AuthorizedKeys may log in; at least one, no certificates.
	AuthorizedKeys []ssh.PublicKey

	// User is the one name that may log in. It names the account that this
	// process runs as and does not change it: commands run with the process's
	// own uid. User, Home and Shell default to the account's in /etc/passwd.
	User string
	// Home is where commands start, an absolute path.
	Home string
	// Shell runs the command lines, an absolute path. It is used as it is, also
	// when it is a nologin.
	Shell string

	// Env holds NAME=value for every command, above all others. Of this
	// process's own environment, commands get PATH, LANG, LC_* and TZ alone.
	Env []string

	// SFTP is the argv of the SFTP server, which serves a client on its stdin and stdout and
	// exits at the end of its stdin: an absolute path and arguments. It is started as
	// commands are. Nil leaves the host without the subsystem sftp.
	SFTP []string

	// Log is told of refused logins and of commands that could not be started,
	// never of what a command line says. Nil is silent.
	Log *slog.Logger
}

// Host is an SSH server without a listener: its connections are given to
// Serve. It is safe for concurrent use. Its maker closes it.
type Host struct {
	account account
	environ environ
	sftp    string // the command line of the SFTP server; empty is none
	shells  *shells
	log     *slog.Logger
	config  *ssh.ServerConfig
	key     ssh.PublicKey
	chunks  sync.Pool // of *[chunkBytes]byte

	// work counts the calls of Serve, and the processes that have not ended.
	work sync.WaitGroup

	mu          sync.Mutex // guards the fields below; never held over I/O
	closed      bool
	connections map[*connection]struct{}
	processes   map[*process]struct{}
}

// New returns a Host with a new ed25519 host key, which lives in memory alone.
// So that no command inherits them, it marks the descriptors that this process
// has open as close-on-exec, its three standard streams excepted, and catches
// the signals that this process was started to ignore.
func New(cfg Config) (*Host, error) {
	if err := sealDescriptors(); err != nil {
		return nil, err
	}
	catchIgnored()
	account, err := newAccount(cfg)
	if err != nil {
		return nil, err
	}
	environ, err := newEnviron(account, os.Environ(), cfg.Env)
	if err != nil {
		return nil, err
	}
	h := &Host{
		account:     account,
		environ:     environ,
		sftp:        commandLine(cfg.SFTP),
		shells:      newShells(account, cfg.Env),
		log:         cfg.Log,
		chunks:      sync.Pool{New: func() any { return new([chunkBytes]byte) }},
		connections: make(map[*connection]struct{}),
		processes:   make(map[*process]struct{}),
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if err := h.configure(cfg.AuthorizedKeys); err != nil {
		return nil, err
	}
	return h, nil
}

// configure makes the host key and the rules of logging in.
func (h *Host) configure(authorized []ssh.PublicKey) error {
	if len(authorized) == 0 {
		return errors.New("ssh host: no authorized key: nobody could log in")
	}
	for _, key := range authorized {
		if _, ok := key.(*ssh.Certificate); ok {
			return errors.New("ssh host: an authorized key is a certificate")
		}
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make ssh host key: %w", err)
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		return fmt.Errorf("make ssh host key: %w", err)
	}
	h.key = signer.PublicKey()
	h.config = &ssh.ServerConfig{
		ServerVersion:     "SSH-2.0-Sallyport",
		PublicKeyCallback: h.authorizer(authorized),
	}
	h.config.AddHostKey(signer)
	return nil
}

// authorizer accepts the account's name with one of the authorized keys.
func (h *Host) authorizer(authorized []ssh.PublicKey) func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
	accepted := make([][]byte, 0, len(authorized))
	for _, key := range authorized {
		accepted = append(accepted, key.Marshal())
	}
	return func(conn ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		offered := key.Marshal()
		known := slices.ContainsFunc(accepted, func(k []byte) bool { return bytes.Equal(k, offered) })
		if !known || conn.User() != h.account.user {
			return nil, errors.New("ssh host: not authorized")
		}
		return &ssh.Permissions{}, nil
	}
}

// HostKey is the public half of the host key, for clients to verify.
func (h *Host) HostKey() ssh.PublicKey { return h.key }

// User is the one name that may log in.
func (h *Host) User() string { return h.account.user }

// Serve speaks SSH on conn in the caller's goroutine until the connection or ctx
// ends, and closes conn. A client that has not logged in after ten seconds is cut
// off. A command whose client has gone is not ended: it finds its stdin at the
// end and its output closed, as with sshd.
func (h *Host) Serve(ctx context.Context, conn net.Conn) {
	c := newConnection(h, conn)
	if !h.admit(c) {
		conn.Close()
		return
	}
	defer h.dismiss(c)
	c.serve(ctx)
}

// Close closes every connection, kills the process group of every command
// whose own process still runs, and waits for all calls of Serve and all
// goroutines. What a command left behind in the background when it ended is
// not touched, nor is a process that has become another user's. It may be
// called more than once, and always returns nil.
func (h *Host) Close() error {
	h.mu.Lock()
	h.closed = true
	connections := slices.Collect(maps.Keys(h.connections))
	processes := slices.Collect(maps.Keys(h.processes))
	h.mu.Unlock()

	for _, c := range connections {
		c.conn.Close()
	}
	for _, p := range processes {
		p.end()
	}
	h.work.Wait()
	return nil
}

// admit counts c among the connections unless the host is closed.
func (h *Host) admit(c *connection) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.work.Add(1)
	h.connections[c] = struct{}{}
	return true
}

func (h *Host) dismiss(c *connection) {
	c.conn.Close()
	h.mu.Lock()
	delete(h.connections, c)
	h.mu.Unlock()
	h.work.Done()
}

// adopt waits for p's end in a goroutine of the host's, since a process may
// outlive its connection, and then calls ended once. Only a session calls it, while
// the host waits for that session.
func (h *Host) adopt(p *process, ended func(syscall.WaitStatus, error)) {
	h.mu.Lock()
	h.processes[p] = struct{}{}
	closed := h.closed
	h.mu.Unlock()
	if closed {
		p.end() // Close has not seen it
	}
	h.work.Go(func() {
		status, err := p.wait()
		h.mu.Lock()
		delete(h.processes, p)
		h.mu.Unlock()
		ended(status, err)
	})
}
