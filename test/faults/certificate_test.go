//go:build linux

package faults

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pair is a certificate and its key, in PEM.
type pair struct{ cert, key []byte }

// newPair makes a certificate for loopback with a serial number.
func newPair(t *testing.T, serial int64) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pair{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}
}

// replace puts a file in place as a renewal does: whole, under another's name.
func replace(t *testing.T, path string, text []byte) {
	t.Helper()
	next := path + ".next"
	if err := os.WriteFile(next, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

// servedSerial is the serial number of the certificate that a new connection gets.
func servedSerial(t *testing.T, address string) int64 {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// TestCertificateRenewed: what a renewal puts in place is served without a signal; a
// pair that doesn't fit leaves the old one, and is told once; doctor tells what is served.
func TestCertificateRenewed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	first, second, third := newPair(t, 1), newPair(t, 2), newPair(t, 3)
	replace(t, cert, first.cert)
	replace(t, key, first.key)
	o := serverArgs()
	o.args = append(o.args, "--tls-cert-file", cert, "--tls-key-file", key)
	p := startProgram(t, o)
	at, err := url.Parse(p.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if got := servedSerial(t, at.Host); got != 1 {
		t.Fatalf("served: %d", got)
	}
	const refused = "can't be served: the one of before still is"
	replace(t, cert, second.cert)
	await(t, endTimeMax, "the misfit to be told", func() bool {
		if got := servedSerial(t, at.Host); got != 1 {
			t.Fatalf("served: %d", got)
		}
		return strings.Contains(p.logText(t), refused)
	})
	if found := p.doctor(t, o, at.Host); !strings.Contains(found, "serves another certificate than the files hold") {
		t.Errorf("doctor:\n%s", found)
	}
	replace(t, key, second.key)
	await(t, endTimeMax, "the second certificate", func() bool { return servedSerial(t, at.Host) == 2 })
	replace(t, key, third.key)
	replace(t, cert, third.cert)
	await(t, endTimeMax, "the third certificate", func() bool { return servedSerial(t, at.Host) == 3 })
	if n := strings.Count(p.logText(t), refused); n != 1 {
		t.Errorf("it was told %d times:\n%s", n, p.logText(t))
	}
	if found := p.doctor(t, o, at.Host); !strings.Contains(found, "serves the certificate of the files") {
		t.Errorf("doctor:\n%s", found)
	}
}

// TestPlainHTTPToTLS: who asks a server that speaks TLS in plain HTTP is told so.
func TestPlainHTTPToTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	own := newPair(t, 1)
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	replace(t, cert, own.cert)
	replace(t, key, own.key)
	o := serverArgs()
	o.args = append(o.args, "--tls-cert-file", cert, "--tls-key-file", key)
	p := startProgram(t, o)
	cmd := exec.Command(p.cmd.Path, "workspaces", "list")
	cmd.Env = []string{"HOME=" + dir, "SALLYPORT_URL=http://" + strings.TrimPrefix(p.server.URL, "https://"), "SALLYPORT_TOKEN=" + strings.Repeat("x", 40)}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "the server speaks TLS") || !strings.Contains(string(out), "https://") {
		t.Errorf("%v:\n%s", err, out)
	}
}

// doctor is what `sallyport doctor` says beside the server.
func (p *program) doctor(t *testing.T, o programOptions, address string) string {
	t.Helper()
	cmd := exec.Command(p.cmd.Path, append([]string{"doctor", "--data-dir", p.server.DataDir, "--listen", address}, o.args[1:5]...)...)
	cmd.Env = p.cmd.Env
	out, _ := cmd.CombinedOutput() // it fails where something is wrong
	return string(out)
}

func (p *program) logText(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestOutOfDescriptorsAtStart: a start without descriptors names them, not the disk.
func TestOutOfDescriptorsAtStart(t *testing.T) {
	t.Parallel()
	for n := 8; n < 14; n++ {
		o := serverArgs()
		o.through = []string{"sh", "-c", "ulimit -n $0; exec \"$@\"", strconv.Itoa(n)}
		p := launchProgram(t, o)
		await(t, startTimeMax, "an end, or a start", func() bool {
			select {
			case <-p.gone:
				return true
			default:
				return strings.Contains(p.logText(t), "serving")
			}
		})
		_ = p.cmd.Process.Signal(syscall.SIGKILL)
		<-p.gone
		if text := p.logText(t); strings.Contains(text, "can't be written") || !bytes.Contains([]byte(text), []byte("too many")) && !strings.Contains(text, "serving") {
			t.Errorf("with %d descriptors:\n%s", n, text)
		}
	}
}
