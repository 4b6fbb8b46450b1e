// Package local is the connector to this very machine: it reaches an SSH host
// that is embedded in this process, through a pair of connected sockets.
package local

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/crypto/ssh"

	"sallyport/internal/connector"
	"sallyport/internal/sshhost"
)

// Config says as whom commands run: by default as the account of this process,
// with its home and login shell. See sshhost.Config for what each field means.
type Config struct {
	User, Home, Shell string
	Env, SFTP         []string
	Log               *slog.Logger
}

// Connector reaches its own SSH host, whatever the target: every workspace of
// this type is this machine. Whoever made it closes it.
type Connector struct {
	host   *sshhost.Host
	signer ssh.Signer
	serve  func(context.Context, net.Conn) // the host's

	served sync.WaitGroup
	mu     sync.Mutex // guards closed
	closed bool
}

// New starts an SSH host. The only key that may log in is made here, and lives
// in memory alone.
func New(cfg Config) (*Connector, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key for local host: %w", err)
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		return nil, fmt.Errorf("make key for local host: %w", err)
	}
	host, err := sshhost.New(sshhost.Config{
		AuthorizedKeys: []ssh.PublicKey{signer.PublicKey()},
		User:           cfg.User,
		Home:           cfg.Home,
		Shell:          cfg.Shell,
		Env:            cfg.Env,
		SFTP:           cfg.SFTP,
		Log:            cfg.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("make local host: %w", err)
	}
	return &Connector{host: host, signer: signer, serve: host.Serve}, nil
}

// Dial opens a stream to the host, which vouches for its own key. Closing the
// link's Conn ends the host's side of it too.
func (c *Connector) Dial(ctx context.Context, _ connector.Target) (*connector.Link, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("dial local host: %w", err)
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, connector.OutOfFiles(fmt.Errorf("dial local host: %w", err))
	}
	if !c.start(context.WithoutCancel(ctx), theirs) {
		ours.Close()
		theirs.Close()
		return nil, errors.New("dial local host: closed")
	}
	return &connector.Link{
		Conn:    ours,
		User:    c.host.User(),
		Signers: c.signers,
		HostKey: c.host.HostKey(),

		DirectStart: c.host.StartsDirectly(),
	}, nil
}

func (c *Connector) signers(context.Context) ([]ssh.Signer, error) {
	return []ssh.Signer{c.signer}, nil
}

// start serves conn in a goroutine that Close waits for, unless it is too late.
func (c *Connector) start(ctx context.Context, conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.served.Go(func() { c.serve(ctx, conn) })
	return true
}

// Close ends every connection and every running command, and waits for them.
// It may be called more than once, and always returns nil.
func (c *Connector) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	err := c.host.Close()
	c.served.Wait()
	return err
}

// socketPair returns two connected sockets. Unlike a net.Pipe they hold some
// bytes: both sides of an SSH handshake write before they read.
func socketPair() (a, b net.Conn, err error) {
	// No child may be forked between the making and the marking: not every
	// system marks as it makes.
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	a, errA := fileConn(fds[0])
	b, errB := fileConn(fds[1])
	if err := errors.Join(errA, errB); err != nil {
		closeAll(a, b)
		return nil, nil, err
	}
	return a, b, nil
}

// fileConn takes fd over.
func fileConn(fd int) (net.Conn, error) {
	file := os.NewFile(uintptr(fd), "socketpair")
	defer file.Close()
	return net.FileConn(file) // on a copy of fd
}

func closeAll(conns ...net.Conn) {
	for _, conn := range conns {
		if conn != nil {
			conn.Close()
		}
	}
}
