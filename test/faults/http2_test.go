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
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
	"sallyport/test/stack"
)

// secured is a stack that serves TLS, and who trusts it.
type secured struct {
	*stack.Stack
	trust *tls.Config
}

func startSecured(t *testing.T) secured {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	encoded := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	write(t, cert, string(encoded))
	write(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(encoded)
	s := stack.Start(t, stack.Options{Env: map[string]string{"SALLYPORT_TLS_CERT_FILE": cert, "SALLYPORT_TLS_KEY_FILE": keyFile}})
	return secured{s, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
}

// caller speaks HTTP/2 as others do.
func (s secured) caller(t *testing.T) *caller {
	t.Helper()
	web := &http.Transport{TLSClientConfig: s.trust, ForceAttemptHTTP2: true}
	t.Cleanup(web.CloseIdleConnections)
	return &caller{s: s.Stack, http: &http.Client{Transport: web}}
}

// rawHTTP2 is a connection on which a caller says what it likes.
type rawHTTP2 struct {
	*http2.Framer
	conn *tls.Conn
	head bytes.Buffer
	pack *hpack.Encoder
	// server is what the server has set.
	server map[http2.SettingID]uint32
}

func (s secured) dial(t *testing.T) *rawHTTP2 {
	t.Helper()
	config := s.trust.Clone()
	config.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.URL, "https://"), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if conn.ConnectionState().NegotiatedProtocol != "h2" {
		t.Fatalf("protocol %q", conn.ConnectionState().NegotiatedProtocol)
	}
	r := &rawHTTP2{Framer: http2.NewFramer(conn, conn), conn: conn, server: map[http2.SettingID]uint32{}}
	r.pack = hpack.NewEncoder(&r.head)
	_, err = io.WriteString(conn, http2.ClientPreface)
	if err = errors.Join(err, r.WriteSettings()); err != nil {
		t.Fatal(err)
	}
	frame, err := r.ReadFrame()
	settings, ok := frame.(*http2.SettingsFrame)
	if err != nil || !ok {
		t.Fatalf("the first frame is %v, %v", frame, err)
	}
	_ = settings.ForeachSetting(func(set http2.Setting) error { r.server[set.ID] = set.Val; return nil })
	return r
}

// block is a header in HPACK.
func (r *rawHTTP2) block(fields ...string) []byte {
	r.head.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = r.pack.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}) // into a buffer
	}
	return bytes.Clone(r.head.Bytes())
}

// ask begins a request.
func (r *rawHTTP2) ask(stream uint32, end bool, method, path, token string, more ...string) error {
	fields := append([]string{":method", method, ":scheme", "https", ":authority", "localhost", ":path", path, "authorization", "Bearer " + token}, more...)
	return r.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: r.block(fields...), EndStream: end, EndHeaders: true})
}

// ending reads until the server ends the connection, and returns its code; -1 is an
// end without one.
func (r *rawHTTP2) ending() http2.ErrCode {
	code := ^http2.ErrCode(0)
	for {
		frame, err := r.ReadFrame()
		if err != nil {
			return code
		}
		if away, ok := frame.(*http2.GoAwayFrame); ok && away.ErrCode != http2.ErrCodeNo {
			code = away.ErrCode
		}
	}
}

// TestHTTP2 runs commands and follows events over HTTP/2; a caller that resets its
// stream has gone, as one that hangs up has.
func TestHTTP2(t *testing.T) {
	s := startSecured(t)
	c := s.caller(t)
	c.mustServe(t)
	resp, err := c.open(t.Context(), streamed("echo up; exec sleep 600"))
	if err != nil || resp.ProtoMajor != 2 {
		t.Fatalf("%v over HTTP/%d", err, resp.ProtoMajor)
	}
	if _, err := resp.Body.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close() // resets the stream, and leaves the connection
	s.awaitRow(t, c, resp.Header.Get(sallyport.HeaderExecID), "canceled")
	c.mustServe(t)
}

// awaitRow waits until an exec's row has a status.
func (s secured) awaitRow(t *testing.T, c *caller, execID, status string) {
	t.Helper()
	await(t, 10*time.Second, "exec "+execID+" to be "+status, func() bool {
		for _, row := range s.rows(t, c) {
			if row.ID == execID {
				return row.Status == status
			}
		}
		return false
	})
}

// rows are the newest execs.
func (s secured) rows(t *testing.T, c *caller) []sallyport.Activity {
	t.Helper()
	var page sallyport.List[sallyport.Activity]
	if err := c.getJSON(t.Context(), "/workspaces/local/activity?limit=500&type=workspace_exec", &page); err != nil {
		t.Fatal(err)
	}
	return page.Items
}

// TestSocketOverHTTP2: WebSockets are for HTTP/1.1. Over HTTP/2 none is offered, and
// none is given to who asks all the same.
func TestSocketOverHTTP2(t *testing.T) {
	s := startSecured(t)
	const path = "/orgs/dev/events"
	for i, ask := range []func(r *rawHTTP2) error{
		func(r *rawHTTP2) error {
			return r.ask(1, false, "CONNECT", path, s.Token, ":protocol", "websocket", "sec-websocket-version", "13")
		},
		func(r *rawHTTP2) error { return r.ask(1, true, "GET", path, s.Token, "upgrade", "websocket") },
		func(r *rawHTTP2) error {
			return r.ask(1, true, "GET", path, s.Token, "connection", "upgrade", "upgrade", "websocket", "sec-websocket-version", "13", "sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==")
		},
	} {
		r := s.dial(t)
		if r.server[http2.SettingEnableConnectProtocol] != 0 {
			t.Error("the server offers WebSockets over HTTP/2")
		}
		if err := ask(r); err != nil {
			t.Fatal(err)
		}
		for refused := false; !refused; {
			frame, err := r.ReadFrame()
			if err != nil {
				break // closed
			}
			switch f := frame.(type) {
			case *http2.RSTStreamFrame, *http2.GoAwayFrame:
				refused = true
			case *http2.HeadersFrame:
				fields, err := hpack.NewDecoder(4096, nil).DecodeFull(f.HeaderBlockFragment())
				if err != nil || !strings.HasPrefix(fields[0].Value, "4") {
					t.Errorf("request %d: %v %v", i, fields, err)
				}
				refused = true
			}
		}
	}
	s.caller(t).mustServe(t)
}

// TestRapidReset begins execs and takes them back at once, by the thousands: others
// go on, no more run at a time than the connection may have, and of each that began
// there is a row with its end.
func TestRapidReset(t *testing.T) {
	s := startSecured(t)
	others := s.caller(t)
	r := s.dial(t)
	const resets = 3000
	if most := r.server[http2.SettingMaxConcurrentStreams]; most == 0 || most > 1000 {
		t.Errorf("a connection may have %d streams", most)
	}
	var code http2.ErrCode
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		code = r.ending()
	}()
	body := []byte(`{"cmd":["true"]}`)
	for i := range uint32(resets) {
		stream := 2*i + 1
		err := r.ask(stream, false, "POST", "/workspaces/local/exec", s.Token)
		if err = errors.Join(err, r.WriteData(stream, true, body), r.WriteRSTStream(stream, http2.ErrCodeCancel)); err != nil {
			break // the server has had enough
		}
	}
	others.mustServe(t)
	r.conn.Close()
	<-ended
	t.Logf("the connection ended with %v", code)
	await(t, 30*time.Second, "every row to be complete", func() bool {
		for _, row := range s.rows(t, others) {
			if row.Status == sallyport.StatusRunning {
				return false
			}
		}
		return true
	})
	others.mustServe(t)
}

// TestFloodsOfHTTP2 sends what makes a server keep or do more than it is asked:
// each ends its own connection, or its stream, and nobody else's.
func TestFloodsOfHTTP2(t *testing.T) {
	s := startSecured(t)
	others := s.caller(t)
	floods := map[string]func(r *rawHTTP2) error{
		"headers without an end": func(r *rawHTTP2) error {
			err := r.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: r.block(":method", "GET", ":scheme", "https", ":authority", "localhost", ":path", "/healthz")})
			for i := 0; err == nil; i++ {
				err = r.WriteContinuation(1, false, r.block("x-"+strings.Repeat("a", i%50), strings.Repeat("v", 1000)))
			}
			return err
		},
		"empty continuations": func(r *rawHTTP2) error {
			err := r.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: r.block(":method", "GET")})
			for range 50_000 {
				if err == nil {
					err = r.WriteContinuation(1, false, nil)
				}
			}
			return errors.Join(err, r.WriteData(1, true, nil)) // another frame inside a header
		},
		"a header of one name, packed small": func(r *rawHTTP2) error {
			fields := []string{":method", "GET", ":scheme", "https", ":authority", "localhost", ":path", "/healthz"}
			for range 2000 { // each but the first is one byte on the wire
				fields = append(fields, "x-bomb", strings.Repeat("b", 4000))
			}
			block := r.block(fields...)
			err := r.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:min(len(block), 16<<10)], EndHeaders: true, EndStream: true})
			return errors.Join(err, r.conn.CloseWrite())
		},
		"settings": func(r *rawHTTP2) (err error) {
			for range 50_000 {
				if err = r.WriteSettings(); err != nil {
					return err
				}
			}
			return errors.Join(err, r.conn.CloseWrite())
		},
		"pings": func(r *rawHTTP2) (err error) {
			for range 50_000 {
				if err = r.WritePing(false, [8]byte{}); err != nil {
					return err
				}
			}
			return errors.Join(err, r.conn.CloseWrite())
		},
		"more streams than allowed": func(r *rawHTTP2) (err error) {
			for i := range uint32(2000) {
				if err = r.ask(2*i+1, false, "POST", "/workspaces/local/exec", s.Token, "content-length", "16"); err != nil {
					return err
				}
			}
			return errors.Join(err, r.conn.CloseWrite())
		},
		"a body that is not waited for": func(r *rawHTTP2) error {
			err := r.ask(1, false, "POST", "/workspaces/local/exec", "nobody")
			for range 2000 {
				if err == nil {
					err = r.WriteData(1, false, make([]byte, 16<<10))
				}
			}
			return errors.Join(err, r.conn.CloseWrite())
		},
		"a window too large": func(r *rawHTTP2) error {
			return errors.Join(r.WriteWindowUpdate(0, 1<<31-1), r.WriteWindowUpdate(0, 1<<31-1), r.conn.CloseWrite())
		},
		"a stream that depends on itself, then no frames": func(r *rawHTTP2) error {
			err := r.WriteRawFrame(http2.FramePriority, 0, 1, []byte{0, 0, 0, 1, 0})
			return errors.Join(err, r.WriteRawFrame(0xfa, 0xff, 7, make([]byte, 16<<10)), r.conn.CloseWrite())
		},
	}
	for name, flood := range floods {
		t.Run(name, func(t *testing.T) {
			before := heap()
			r := s.dial(t)
			sent := make(chan error, 1)
			go func() { sent <- flood(r) }()
			code := within(t, limits.HeaderReadTime+20*time.Second, "the connection's end", r.ending)
			r.conn.Close()
			t.Logf("ended with %v; the caller: %v", code, <-sent)
			if grown := heap() - before; grown > 32<<20 {
				t.Errorf("%d bytes are kept", grown)
			}
			others.mustServe(t)
		})
	}
}
