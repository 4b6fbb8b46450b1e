package sshpool

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"sallyport/client/sallyport"
)

// errClosed is what a caller of a closed pool gets.
var errClosed = sallyport.Errorf(sallyport.CodeDraining, "the server is ending; try again in a moment")

// errConnectTime is the cause of a context whose connect budget is used up.
var errConnectTime = errors.New("connect budget used up")

// errIdle is why an idle connection ended.
var errIdle = errors.New("idle")

// crowdedError is a session that a machine refused beside others on the same
// connection: it says how many it takes, and not that it takes none.
type crowdedError struct{ cause error }

func (e *crowdedError) Error() string { return "refused beside others: " + e.cause.Error() }
func (e *crowdedError) Unwrap() error { return e.cause }

func capacityError() *sallyport.Error {
	e := sallyport.Errorf(sallyport.CodeTooManyExecs, "the machine takes no more sessions now; try again in a moment")
	e.Reason = sallyport.ReasonCapacity
	return e
}

func hostKeyError() *sallyport.Error {
	return sallyport.Errorf(sallyport.CodeHostKeyMismatch, "the machine's host key is not the one it is known by")
}

// refusedLogin is the message of a machine's refusal.
const refusedLogin = "the machine refused the login: it doesn't trust the server's key or CA, or not for this user; " +
	"where the server logs in with a certificate, the machine's clock and the server's may differ"

// failure is a connect_failed with its reason.
func failure(reason, message string, cause error) *sallyport.Error {
	e := sallyport.Errorf(sallyport.CodeConnectFailed, "%s", message).Because(cause)
	e.Reason = reason
	return e
}

// timeoutError is a connect_timeout that says what was waited for; where it is the
// pool's end that ended the dial, it is that.
func timeoutError(ctx context.Context, reason, message string, err error) error {
	var known *sallyport.Error
	if cause := context.Cause(ctx); errors.As(cause, &known) {
		return cause
	}
	e := sallyport.Errorf(sallyport.CodeConnectTimeout, "%s", message).Because(err)
	e.Reason = reason
	return e
}

// fault says how far a login came before err.
func (l *login) fault(ctx context.Context, err error) error {
	err = fmt.Errorf("handshake: %w", err)
	reason, message := l.stage(err)
	var known *sallyport.Error
	switch {
	case sallyport.CodeOf(l.credential) == sallyport.CodePlatformUnavailable:
		return l.credential
	case errors.As(err, &known):
		return err
	case context.Cause(ctx) != nil:
		return timeoutError(ctx, reason, "the machine did not answer in time: "+l.awaited(), err)
	}
	return failure(reason, message, err)
}

// explain lets the connector say what an error means, where it knows more.
func (l *login) explain(ctx context.Context, err error) error {
	var known *sallyport.Error
	if l.link.Explain == nil || !errors.As(err, &known) || known.Code != sallyport.CodeConnectFailed && known.Code != sallyport.CodeConnectTimeout {
		return err
	}
	return l.link.Explain(ctx, known)
}

func (l *login) stage(err error) (reason, message string) {
	switch {
	case !l.wire.greeted():
		return sallyport.ReasonNoBanner, "what answers at the machine's address hung up, or is no SSH server"
	case l.hostKey == nil:
		return sallyport.ReasonHandshakeFailed, "the machine's SSH server broke the handshake off, or has no algorithm that is safe to use"
	case l.credential != nil:
		return sallyport.ReasonKeyUnusable, "there is nothing to log in to the machine with"
	case isRefusal(err):
		return sallyport.ReasonAuthFailed, refusedLogin
	}
	return sallyport.ReasonHandshakeFailed, "the machine's SSH server broke the login off"
}

// awaited is what was waited for when time was up.
func (l *login) awaited() string {
	switch {
	case !l.wire.greeted():
		return "it took the connection, and no SSH server spoke"
	case l.hostKey == nil:
		return "its SSH server did not finish the handshake"
	}
	return "its SSH server did not finish the login"
}

// isRefusal tells a login that was refused from one that broke: the library has
// only words for it.
func isRefusal(err error) bool {
	return strings.Contains(err.Error(), "ssh: unable to authenticate") || strings.Contains(err.Error(), "ssh: disconnect, reason")
}

// classify gives an error of the way to a machine its code.
func classify(ctx context.Context, err error) error {
	var known *sallyport.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(context.Cause(ctx), context.Canceled):
		return fmt.Errorf("reach the machine: %w", err)
	case ctx.Err() != nil, errors.Is(err, errConnectTime), errors.Is(err, context.DeadlineExceeded):
		return sallyport.Errorf(sallyport.CodeConnectTimeout, "the machine did not answer in time").Because(err)
	}
	return failure(sallyport.ReasonConnectionLost, "the connection to the machine broke", err)
}

// asKnown is a dial's error as it is kept, and told to all who wait.
func asKnown(ctx context.Context, err error) *sallyport.Error {
	var known *sallyport.Error
	if errors.As(classify(ctx, err), &known) {
		return known
	}
	return failure(sallyport.ReasonDialFailed, "the machine could not be reached", err)
}
