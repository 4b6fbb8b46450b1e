package eic

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// frame is a WebSocket frame of a server's.
func frame(first byte, payload string) []byte {
	b := []byte{first, byte(len(payload))}
	if len(payload) > 125 {
		b[1] = 126
		b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	}
	return append(b, payload...)
}

// tunnelOf upgrades, says bytes, and hangs up.
func tunnelOf(says []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+
			base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n")
		rw.Write(says)
		rw.Flush()
		conn.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, bufio.NewReader(conn)) // a hang-up of ours would cut what is on its way
	})
}

// FuzzTunnel lets an endpoint say anything: what is read is no more than what came, and
// reading ends.
func FuzzTunnel(f *testing.F) {
	f.Add([]byte{}, 64)
	f.Add(frame(0x82, "SSH-2.0-OpenSSH_9.2\r\n"), 4)
	f.Add(bytes.Join([][]byte{frame(0x02, "SSH"), frame(0x89, "ping"), frame(0x80, "-2.0\r\n"), frame(0x82, ""), frame(0x88, "\x03\xe8")}, nil), 1)
	f.Add(frame(0x88, "\x03\xf3Unable to connect to target"), 64)
	f.Add(frame(0x81, "text"), 64)
	f.Add(frame(0x82, strings.Repeat("x", 60000)), 1000)
	f.Add([]byte{0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 64)
	f.Fuzz(func(t *testing.T, says []byte, size int) {
		says = append(bytes.Clone(says), frame(0x88, "\x03\xe8")...)
		server := httptest.NewServer(tunnelOf(says))
		defer server.Close()
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		ws, _, err := websocket.Dial(t.Context(), server.URL, &websocket.DialOptions{HTTPClient: client})
		if err != nil {
			t.Fatal(err)
		}
		s := newStream(t.Context(), ws)
		defer s.Close()
		buf := make([]byte, max(1, min(size, 1<<16)))
		total := 0
		for {
			n, err := s.Read(buf)
			if n < 0 || n > len(buf) || n == 0 && err == nil {
				t.Fatalf("read %d of %d, %v", n, len(buf), err)
			}
			total += n
			if err != nil {
				break
			}
		}
		if total > len(says) {
			t.Fatalf("read %d bytes of %d", total, len(says))
		}
	})
}

// FuzzAnswer reads whatever comes in AWS's place.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"__type":"com.amazonaws#AuthException","Message":"x"}`), 400)
	f.Add([]byte(`<Response><Errors><Error><Code>RequestLimitExceeded</Code></Error></Errors></Response>`), 503)
	f.Add([]byte(`{"ErrorCode":"InvalidParameter","Message":"x"}`), 400)
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		code := jsonCode(body)
		if strings.Contains(code, "#") {
			t.Errorf("code %q", code)
		}
		resp := &http.Response{StatusCode: status, Body: io.NopCloser(bytes.NewReader(body))}
		for _, found := range []*fault{refusal(resp, io.EOF), {class: codeClass(code, status)}} {
			if message, reason := found.words(); message == "" || reason == "" {
				t.Errorf("%q, %d: nothing is said", body, status)
			}
		}
	})
}
