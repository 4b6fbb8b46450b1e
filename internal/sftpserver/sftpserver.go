// Package sftpserver is an SFTP server on two streams. The embedded SSH host runs it as a
// process of its own: in the server's process a client could read the server's memory and
// open files by /proc/self.
package sftpserver

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"github.com/pkg/sftp"
)

const (
	// filesMax bounds the files that the process has open: a client closes what it opens.
	filesMax = 256
	// endTime bounds how long requests that were sent before the input's end are worked on.
	// One that opens a FIFO waits for its other end, maybe for ever.
	endTime = 5 * time.Second
)

// Serve speaks SFTP, version 3, on in and out until in ends, with the rights of this
// process; relative paths begin at its working directory. It lowers the process's limit on
// open files for good. A request that is still being done a while after the end of in, or
// after a client that doesn't keep to the protocol, is left behind: the process is to exit
// when Serve returns. Serve returns nil when the client has left, and else the error that
// kept the streams from going on.
func Serve(in io.Reader, out io.Writer) error {
	if err := boundFiles(); err != nil {
		return err
	}
	s := &streams{Reader: in, Writer: out, ended: make(chan struct{})}
	server, err := sftp.NewServer(s)
	if err != nil {
		return fmt.Errorf("make sftp server: %w", err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	select {
	case err := <-served:
		return failure(err)
	case <-s.ended:
	}
	timer := time.NewTimer(endTime)
	defer timer.Stop()
	select {
	case err := <-served:
		return failure(err)
	case <-timer.C:
		return nil
	}
}

func failure(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("serve sftp: %w", err)
}

func boundFiles() error {
	limit := syscall.Rlimit{Cur: filesMax, Max: filesMax}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("bound the open files: %w", err)
	}
	return nil
}

// streams notices the end of what it reads, and that the server gives its client up.
type streams struct {
	io.Reader
	io.Writer
	once  sync.Once
	ended chan struct{} // closed by then
}

func (s *streams) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil {
		s.end()
	}
	return n, err
}

// Close is called by the server over a request that makes no sense.
func (s *streams) Close() error {
	s.end()
	return nil
}

func (s *streams) end() { s.once.Do(func() { close(s.ended) }) }
