package peer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// newTransport returns what questions go by. A replica's id is the name in its URLs, so that
// TLS demands a certificate of this name; where it is dialled stands in its lease.
func (p *Peer) newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: limits.PeerDialTime}
	return &http.Transport{
		TLSClientConfig: p.identity.tls(), TLSHandshakeTimeout: limits.PeerDialTime, DisableCompression: true,
		Protocols: onlyHTTP2(), HTTP2: http2Config(), IdleConnTimeout: limits.PeerIdleTime,
		MaxResponseHeaderBytes: limits.PeerHeaderBytesMax,
		DialContext: func(ctx context.Context, _, name string) (net.Conn, error) {
			replica, _, err := net.SplitHostPort(name)
			if err != nil {
				return nil, err
			}
			at, err := p.find(ctx, replica)
			if err != nil {
				return nil, err
			}
			return dialer.DialContext(ctx, "tcp", hostPort(at))
		},
	}
}

// onlyHTTP2: what is asked is a stream of one connection, and needs no handshake of its own.
func onlyHTTP2() *http.Protocols {
	var only http.Protocols
	only.SetHTTP2(true)
	return &only
}

// http2Config finds out that the other is gone, or halted, by what it doesn't answer.
func http2Config() *http.HTTP2Config {
	return &http.HTTP2Config{
		MaxConcurrentStreams: limits.PeerQuestionsMax, SendPingTimeout: limits.PeerPingTime, PingTimeout: limits.PeerPingTime,
		WriteByteTimeout: limits.PeerAnswerTime, MaxReceiveBufferPerStream: limits.PeerStreamBytes,
		MaxReceiveBufferPerConnection: limits.PeerConnectionBytes,
	}
}

// Open asks a replica a question about a topic, as JSON of limits.PeerQuestionBytesMax at
// most, and returns the stream that its handler goes on with. The other must have begun to
// answer within limits.PeerAnswerTime. ctx bounds all of the stream; the caller closes it.
// The errors are those of Call.
func (p *Peer) Open(ctx context.Context, replica, topic string, question any) (*Stream, error) {
	if ctx.Value(passedOn{}) != nil {
		return nil, ErrPassedOn
	}
	framed, err := frameQuestion(question)
	if err != nil {
		return nil, err
	}
	if _, err := p.find(ctx, replica); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	waiting := time.AfterFunc(limits.PeerAnswerTime, func() { cancel(errNoAnswer) })
	unread, body := io.Pipe()
	// The transport looks at ctx only where it doesn't wait for more of the body.
	context.AfterFunc(ctx, func() { _ = body.CloseWithError(context.Cause(ctx)) })
	sent := struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(framed), unread), unread}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+replica+"/"+topic, sent)
	if err != nil {
		waiting.Stop()
		cancel(err)
		return nil, err
	}
	resp, err := p.transport.RoundTrip(req)
	if !waiting.Stop() && err == nil {
		_ = resp.Body.Close() // too late
		err = errNoAnswer
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel(err)
		return nil, unreachable(replica, err)
	}
	answer := resp.Body
	s := &Stream{
		reader: &answerReader{resp: resp, replica: replica}, writer: body, closeWrite: body.Close, accept: func() {},
		close: func() {
			cancel(context.Canceled)
			_ = answer.Close() // what is left of it is given up
		},
	}
	if resp.StatusCode != http.StatusOK {
		defer s.close()
		return nil, refusal(replica, resp)
	}
	return s, nil
}

var errNoAnswer = errors.New("no answer in time")

// refusal is why the other server doesn't answer.
func refusal(replica string, resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, limits.PeerQuestionBytesMax))
	if err != nil {
		return unreachable(replica, err)
	}
	var refused sallyport.Error
	if err := json.Unmarshal(text, &refused); err != nil || refused.Code == "" {
		return unreachable(replica, errors.New("it answers "+resp.Status))
	}
	return &refused
}
