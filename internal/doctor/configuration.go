package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/disk"
	"sallyport/internal/limits"
)

// configuration looks for what is allowed, and rarely meant.
func (d *doctor) configuration(context.Context) {
	before := len(d.found)
	d.readableSecrets()
	if d.cfg.Insecure && d.cfg.IsPlainBeyondLoopback() {
		d.warn("configuration", "see that nothing but a proxy that ends TLS can reach it",
			"plain HTTP beyond loopback, on %s: tokens cross the network in the clear", d.cfg.Listen)
	}
	for _, proxy := range d.cfg.ProxiesTrusted {
		if proxy.Bits() == 0 {
			d.warn("configuration", "name the proxies alone in proxies.trusted",
				"proxies.trusted holds %s: every caller's X-Forwarded-For is believed", proxy)
		}
	}
	if d.cfg.Mode == config.ModeServer && d.cfg.LocalEnabled && os.Geteuid() == 0 {
		d.warn("configuration", "run the server as a user of its own",
			"connectors.local.enabled, and this is root: as whom commands of a workspace on this machine would run")
	}
	if len(d.found) == before {
		d.ok("configuration", "no setting stands out; sallyport config shows each")
	}
}

// readableSecrets looks at the files that hold the admin token.
func (d *doctor) readableSecrets() {
	for _, s := range d.settings {
		file, fromFile := strings.CutPrefix(s.Source, "file ")
		switch {
		case s.Key == "admin_token_file" && s.Value != "":
			d.readable(s.Value, "admin_token_file")
		case s.Key == "admin_token" && s.Value == config.Hidden && fromFile:
			d.readable(file, "the configuration, which holds admin_token,")
		}
	}
}

// readable warns of a file with a secret that everyone may read. A group is often
// how a server of its own user is let read it.
func (d *doctor) readable(path, what string) {
	info, err := os.Stat(path)
	if err != nil {
		return // the configuration was read from it a moment ago
	}
	if mode := info.Mode().Perm(); mode&0o004 != 0 {
		d.warn("configuration", "chmod o-r "+path, "%s %s can be read by everyone on this machine (mode %04o)", what, path, mode)
	}
}

// tlsFiles looks at the certificate as a client will.
func (d *doctor) tlsFiles(context.Context) {
	const check = "tls"
	files := d.cfg.TLS
	if files.CertFile == "" {
		return
	}
	pair, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
	if err != nil {
		d.fail(check, "see that both are in PEM, and that the key is the certificate's", "%s and %s: %s", files.CertFile, files.KeyFile, disk.Cause(err))
		return
	}
	if info, err := os.Stat(files.KeyFile); err == nil && info.Mode().Perm()&0o004 != 0 {
		d.warn(check, "chmod o-r "+files.KeyFile, "the key %s can be read by everyone on this machine", files.KeyFile)
	}
	leaf := pair.Leaf
	const renew = "renew it: a server that runs finds the new files by itself"
	switch left := leaf.NotAfter.Sub(d.began); {
	case d.began.Before(leaf.NotBefore):
		d.fail(check, "look at the clock", "the certificate is not valid before %s", when(leaf.NotBefore))
	case left <= 0:
		d.fail(check, renew, "the certificate has expired on %s", when(leaf.NotAfter))
	case left < limits.CertificateTimeLow:
		d.warn(check, renew, "the certificate expires on %s, in %d days", when(leaf.NotAfter), left/(24*time.Hour))
	default:
		d.ok(check, "the certificate is for %s, until %s", names(leaf), when(leaf.NotAfter))
	}
}

// names are those that a certificate is for.
func names(cert *x509.Certificate) string {
	all := append([]string{}, cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return fmt.Sprintf("no name (subject %s)", cert.Subject)
	}
	return strings.Join(all, ", ")
}

func when(t time.Time) string { return t.UTC().Format(time.RFC3339) }
