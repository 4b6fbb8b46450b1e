package server

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/disk"
	"sallyport/internal/limits"
)

// certificate is the pair that is served. Its files are looked at again while it is,
// so that one that was renewed is served without a signal or a restart.
type certificate struct {
	files config.TLSFiles
	log   *slog.Logger
	pair  atomic.Pointer[tls.Certificate]

	// looking lets one handshake at a time look at the files; the others go on with the
	// pair that there is. It guards what follows.
	looking sync.Mutex
	// next is when the files are looked at again.
	next time.Time
	// served are the files of the pair; refused, those that didn't fit.
	served, refused pairState
	// isTold: the log has the fault of refused.
	isTold bool
}

// openCertificate loads the pair from its files, and fails where they don't fit.
func openCertificate(files config.TLSFiles, log *slog.Logger) (*certificate, error) {
	c := &certificate{files: files, log: log, served: stateOf(files), next: time.Now().Add(limits.CertificateLookEvery)}
	pair, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("tls certificate: %w", err)
	}
	c.pair.Store(&pair)
	return c, nil
}

// get returns the pair to serve, as tls.Config.GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c.looking.TryLock() {
		if now := time.Now(); !now.Before(c.next) {
			c.next = now.Add(limits.CertificateLookEvery)
			c.look()
		}
		c.looking.Unlock()
	}
	return c.pair.Load(), nil
}

// look loads the files anew if they have changed. What can't be served leaves the pair
// of before in its place.
func (c *certificate) look() {
	found := stateOf(c.files)
	if found.is(c.served) {
		c.refused, c.isTold = pairState{}, false
		return
	}
	pair, err := tls.LoadX509KeyPair(c.files.CertFile, c.files.KeyFile)
	if err == nil {
		c.pair.Store(&pair)
		c.served, c.refused, c.isTold = found, pairState{}, false
		c.log.Info("the renewed certificate is served from now on", "file", c.files.CertFile, "not_after", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
		return
	}
	// A renewal replaces one file after the other. What is the same at the next look is
	// told, once.
	if isSame := found.is(c.refused); isSame && !c.isTold {
		c.isTold = true
		c.log.Error("the files of the certificate have changed, and can't be served: the one of before still is",
			"cert_file", c.files.CertFile, "key_file", c.files.KeyFile, "cause", disk.Cause(err))
	} else if !isSame {
		c.refused, c.isTold = found, false
	}
}

// pairState is what tells one version of the files from another; nil is a file that
// can't be looked at.
type pairState struct{ cert, key os.FileInfo }

func stateOf(files config.TLSFiles) pairState {
	cert, _ := os.Stat(files.CertFile) // loading tells why
	key, _ := os.Stat(files.KeyFile)
	return pairState{cert, key}
}

func (s pairState) is(other pairState) bool {
	return isSameVersion(s.cert, other.cert) && isSameVersion(s.key, other.key)
}

func isSameVersion(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
