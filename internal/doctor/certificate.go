package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"

	"sallyport/internal/limits"
)

// servedCertificate compares what the server that runs serves with what is in the
// files: a caller sees the former.
func (d *doctor) servedCertificate(ctx context.Context) {
	const check = "served certificate"
	address := d.localAddress()
	pair, err := tls.LoadX509KeyPair(d.cfg.TLS.CertFile, d.cfg.TLS.KeyFile)
	if !d.held || address == "" || d.cfg.TLS.CertFile == "" {
		return
	}
	served, servedErr := askCertificate(ctx, address)
	if servedErr == nil && err == nil && !served.Equal(pair.Leaf) {
		// The server looks at its files each second.
		served, servedErr = askAgain(ctx, address)
	}
	const hint = "the server's log tells why it doesn't serve the files' pair; or it was started with other files"
	switch {
	case servedErr != nil:
		d.warn(check, "", "%s: %s", address, listenCause(servedErr))
	case !time.Now().Before(served.NotAfter):
		d.fail(check, hint, "the server on %s serves a certificate that has expired on %s", address, when(served.NotAfter))
	case err != nil || !served.Equal(pair.Leaf):
		d.warn(check, hint, "the server on %s serves another certificate than the files hold, valid until %s", address, when(served.NotAfter))
	default:
		d.ok(check, "the server on %s serves the certificate of the files", address)
	}
}

func askAgain(ctx context.Context, address string) (*x509.Certificate, error) {
	select {
	case <-time.After(limits.CertificateLookEvery):
	case <-ctx.Done():
	}
	return askCertificate(ctx, address)
}

// askCertificate returns the certificate that is served at address.
func askCertificate(ctx context.Context, address string) (*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.DoctorCallTime)
	defer cancel()
	// The question is which certificate is served, not whether it can be trusted.
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // nothing was sent
	peer, ok := conn.(*tls.Conn)
	if !ok || len(peer.ConnectionState().PeerCertificates) == 0 {
		return nil, errors.New("no certificate is served")
	}
	return peer.ConnectionState().PeerCertificates[0], nil
}
