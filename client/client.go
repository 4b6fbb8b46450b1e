// Package client runs commands on Sallyport's workspaces, reads and writes their files,
// connects to their ports and manages them, over the HTTP API:
//
//	c := client.New("https://sallyport.example", token)
//	done, err := c.Exec(ctx, client.Exec{
//		Workspace: "build",
//		Cmd:       []string{"uname", "-a"},
//		Stdout:    os.Stdout,
//	})
//
// Three kinds of end are kept apart. A command that ran to its end has an
// ExecDone, whatever its exit code. A refusal or a failure of Sallyport's own is a
// *sallyport.Error with a code; errors.As finds it in a call's error. An answer that
// was cut off is ErrCut: the command's end is not known.
package client

import (
	"net"
	"net/http"
	"time"
)

// Client speaks to one server as one caller. Its fields are set before the first
// call; it is safe for concurrent use.
type Client struct {
	// URL is the server's address, such as https://sallyport.example. A path
	// in it stands in front of every route.
	URL string
	// Token is sent to URL and to nowhere else: a redirect is an error. Blanks and line
	// ends around it, as a file has them, are not sent.
	Token string
	// Org is the organisation, an id or a name, in which workspaces are looked
	// up and made. It is the admin's to give; empty is the token's own.
	Org string
	// HTTPClient sends the requests; nil is one with http.DefaultTransport. Its
	// CheckRedirect is not asked.
	HTTPClient *http.Client
	// OnAnswer, if it is set, gets the JSON of every answer but an exec's and an
	// error's, as it came, before the call returns.
	OnAnswer func(json []byte)
	// Go, if it is set, starts the goroutines of terminals, in place of the go statement. It
	// must not wait for f. A program that has changed something which outlives it, such as
	// the modes of its own terminal, can so put that back where f panics.
	Go func(f func())
}

// start runs f in a goroutine of its own.
func (c *Client) start(f func()) {
	if c.Go == nil {
		go f()
		return
	}
	c.Go(f)
}

// New returns a client of the server at url that presents token. A mistake in url is an
// error of the first call.
func New(url, token string) *Client {
	return &Client{URL: url, Token: token, HTTPClient: &http.Client{Transport: newTransport()}}
}

// readBufferSize lets a stream of output come in few reads.
const readBufferSize = 256 << 10

// newTransport returns a transport that is no bottleneck for streams of output,
// and whose connections outlive one exec.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true,
		ReadBufferSize:        readBufferSize,
	}
}

// Close closes the connections that wait for another request. Calls that are
// under way go on.
func (c *Client) Close() {
	if c.HTTPClient != nil {
		c.HTTPClient.CloseIdleConnections()
	}
}
