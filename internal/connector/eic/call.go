package eic

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"sallyport/internal/limits"
)

// call is one request to AWS.
type call struct {
	action  string // the IAM action that it needs
	service service
	header  http.Header
	body    []byte
	// failed reads AWS's word for an error out of an answer that is one; "" is that it
	// is none that AWS wrote.
	failed func(body []byte) (code string)
}

// answer is a response of AWS.
type answer struct {
	body      []byte
	requestID string
}

// do signs and sends c, again while the fault is transient and ctx lets it, and once
// more with new credentials where those that there are have run out. Its errors are
// faults, or ctx's.
func (a *account) do(ctx context.Context, c call) (answer, error) {
	for tries := a.newTries(); ; {
		got, err := a.once(ctx, c)
		if err == nil {
			return got, nil
		}
		a.calls.count(c.action, err)
		if !tries.again(ctx, err) {
			return answer{}, err
		}
	}
}

// tries are those of one request.
type tries struct {
	account     *account
	renewals    int // of the account, before the try at hand
	pauses      int
	isRefreshed bool // the credentials were had anew
}

func (a *account) newTries() tries { return tries{account: a, renewals: a.renewed()} }

// again tells whether another try makes sense after err, and waits until it is due.
func (t *tries) again(ctx context.Context, err error) bool {
	switch kind, _ := classOf(err); {
	case kind == credentials && !t.isRefreshed:
		t.isRefreshed = true
		t.account.renew(t.renewals)
	case kind != transient && kind != throttled:
		return false
	default:
		t.pauses++
		if !pause(ctx, t.pauses-1) {
			return false
		}
	}
	t.renewals = t.account.renewed()
	return true
}

// pause waits before the next try, for the whole of a random time (full jitter), and
// tells whether there is time for one.
func pause(ctx context.Context, try int) bool {
	most := min(limits.AWSBackoffMax, limits.AWSBackoffMin<<min(try, 16))
	timer := time.NewTimer(rand.N(most))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (a *account) once(ctx context.Context, c call) (answer, error) {
	creds, err := a.retrieve(ctx)
	if err != nil {
		return answer{}, err
	}
	url, err := a.url(ctx, c.service)
	if err != nil {
		return answer{}, &fault{class: configuration, action: c.action, err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, limits.AWSCallTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/", bytes.NewReader(c.body))
	if err != nil {
		return answer{}, &fault{class: configuration, action: c.action, err: plainCause(err)}
	}
	req.Header = c.header.Clone()
	if err := sign(ctx, creds, req, c, a.region, a.now()); err != nil {
		return answer{}, &fault{class: configuration, action: c.action, err: err}
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return answer{}, networkFault(c.action, err)
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	return c.read(resp)
}

func sign(ctx context.Context, creds aws.Credentials, req *http.Request, c call, region string, now time.Time) error {
	sum := sha256.Sum256(c.body)
	return v4.NewSigner().SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), c.service.name, region, now)
}

// read takes an answer apart.
func (c call) read(resp *http.Response) (answer, error) {
	got := answer{requestID: resp.Header.Get("x-amzn-RequestId")}
	var err error
	got.body, err = io.ReadAll(io.LimitReader(resp.Body, limits.AWSAnswerBytesMax))
	if err != nil {
		return got, &fault{class: transient, action: c.action, requestID: got.requestID, err: plainCause(err)}
	}
	if resp.StatusCode == http.StatusOK {
		return got, nil
	}
	code := c.failed(got.body)
	f := &fault{class: codeClass(code, resp.StatusCode), action: c.action, code: code, requestID: got.requestID}
	if code == "" {
		f.err = fmt.Errorf("HTTP status %d", resp.StatusCode)
	}
	return got, f
}

// calls counts failed calls of AWS by IAM action and class, both closed lists.
type calls struct {
	mu     sync.Mutex // guards failed
	failed map[CallFailure]uint64
}

// CallFailure is a kind of failed request to AWS.
type CallFailure struct {
	// Action is the IAM action, and Reason the word that callers are told.
	Action, Reason string
}

func (c *calls) count(action string, err error) {
	f, ok := err.(*fault)
	if !ok {
		return
	}
	_, reason := f.words()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil {
		c.failed = map[CallFailure]uint64{}
	}
	c.failed[CallFailure{action, reason}]++
}
