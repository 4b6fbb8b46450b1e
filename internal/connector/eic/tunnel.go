package eic

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/coder/websocket"

	"sallyport/internal/limits"
)

const openTunnel = "ec2-instance-connect:OpenTunnel"

// emptyHash is the SHA-256 of nothing: the payload of a presigned URL here, where
// UNSIGNED-PAYLOAD is not taken.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// route is one way to one machine.
type route struct {
	endpointID, host string // host is the endpoint's DNS name
	address          string
	duration         time.Duration // 0 is not said, which a policy may not let pass
}

// presign returns the URL that opens a tunnel: good for limits.TunnelURLTime, and to be
// shown to nobody.
func presign(ctx context.Context, creds aws.Credentials, region string, r route, now time.Time) (string, error) {
	query := url.Values{
		"instanceConnectEndpointId": {r.endpointID},
		"remotePort":                {"22"},
		"privateIpAddress":          {r.address},
		// The signer doesn't add it.
		"X-Amz-Expires": {strconv.Itoa(int(limits.TunnelURLTime / time.Second))},
	}
	if r.duration > 0 {
		query.Set("maxTunnelDuration", strconv.Itoa(int(r.duration/time.Second)))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+r.host+"/openTunnel?"+query.Encode(), nil)
	if err != nil {
		return "", plainCause(err)
	}
	signed, _, err := v4.NewSigner().PresignHTTP(ctx, creds, req, emptyHash, "ec2-instance-connect", region, now)
	return signed, err
}

// dialer opens WebSockets, always to the name that a URL is signed for.
type dialer struct {
	// override is where to dial instead, and whether with TLS; nil is nowhere else.
	override *url.URL
}

// open opens a tunnel. Its errors are faults, or ctx's.
func (d dialer) open(ctx context.Context, a *account, r route) (*stream, string, error) {
	creds, err := a.retrieve(ctx)
	if err != nil {
		return nil, "", err
	}
	signed, err := presign(ctx, creds, a.region, r, a.now())
	if err != nil {
		return nil, "", &fault{class: configuration, action: openTunnel, err: err}
	}
	ws, resp, err := websocket.Dial(ctx, d.url(signed), &websocket.DialOptions{HTTPClient: d.client(a)})
	requestID := ""
	if resp != nil {
		requestID = resp.Header.Get("x-amzn-RequestId")
		if resp.Body != nil { // of a refusal
			defer func() { _ = resp.Body.Close() }()
		}
	}
	if err != nil {
		f := refusal(resp, err)
		f.requestID = requestID
		return nil, "", f
	}
	return newStream(ctx, ws), requestID, nil
}

// url is signed with the scheme that says whether to use TLS; a scheme isn't signed.
func (d dialer) url(signed string) string {
	scheme := "wss"
	if d.override != nil && (d.override.Scheme == "ws" || d.override.Scheme == "http") {
		scheme = "ws"
	}
	return scheme + strings.TrimPrefix(signed, "https")
}

// client dials for one WebSocket: HTTP/1.1, no redirect, which would hand the signature on.
func (d dialer) client(a *account) *http.Client {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, DisableCompression: true,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if base, ok := a.http.Transport.(*http.Transport); ok && base.TLSClientConfig != nil {
		transport.TLSClientConfig.RootCAs = base.TLSClientConfig.RootCAs // those of AWS_CA_BUNDLE
	}
	if d.override != nil {
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, d.override.Host)
		}
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// refusal is the meaning of an upgrade that failed. Which status goes with which
// word nobody documents, and not what a full endpoint says: what looks like it is
// taken for it.
func refusal(resp *http.Response, err error) *fault {
	f := &fault{action: openTunnel}
	if resp == nil {
		f = networkFault(openTunnel, err)
		if isNoName(err) {
			f.class = stale // the endpoint has been deleted
		}
		return f
	}
	var said struct{ ErrorCode string }
	if resp.Body != nil {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, limits.AWSAnswerBytesMax)) // half an answer is none of AWS's
		_ = json.Unmarshal(body, &said)
	}
	f.code, f.err = said.ErrorCode, fmt.Errorf("HTTP status %d", resp.StatusCode)
	word := strings.ToLower(said.ErrorCode)
	switch kind := codeClass(said.ErrorCode, resp.StatusCode); {
	case strings.Contains(word, "limit") || strings.Contains(word, "quota") || strings.Contains(word, "toomany") || kind == throttled && said.ErrorCode == "":
		f.class = capacity
	case kind != configuration:
		f.class = kind
	case strings.Contains(word, "signature") || strings.Contains(word, "expired"):
		f.class = configuration
	case strings.Contains(word, "invalid") || strings.Contains(word, "notfound") || resp.StatusCode == http.StatusNotFound:
		f.class = stale
	case resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusUnauthorized:
		f.class = permission
	default:
		f.class = configuration
	}
	return f
}
