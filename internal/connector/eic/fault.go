package eic

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// class is the meaning of a failure on the way; it decides the reaction.
type class int

const (
	permission    class = iota // fail, naming the IAM action
	credentials                // ask for new credentials once, then fail
	configuration              // fail: a clock, a certificate, a value
	transient                  // back off with jitter, while there is time
	throttled                  // the same, and say so
	gone                       // fail: there is no such instance
	notRunning                 // fail
	pending                    // fail, and say when to come again
	noEndpoint                 // fail
	stale                      // a cached entry is wrong: look again once
	capacity                   // wait for a tunnel, while there is time
	unreachable                // fail: the way is there, the machine isn't
)

// fault is a failure of AWS's, or on the way to it. Its text is for the operator: AWS's
// words are not in it, since some of them quote what was sent, but its codes and request
// ids are.
type fault struct {
	class class
	// action is the IAM action that was used.
	action string
	// code is AWS's word for it, and requestID AWS's name of the request.
	code, requestID string
	// say is a sentence for the caller that is better than the class's own; "" is none.
	say string
	err error
}

func (f *fault) Error() string {
	var b strings.Builder
	b.WriteString(f.action)
	if f.code != "" {
		b.WriteString(": " + f.code)
	}
	if f.requestID != "" {
		b.WriteString(" (request id " + f.requestID + ")")
	}
	if f.err != nil {
		b.WriteString(": " + f.err.Error())
	}
	return b.String()
}

func (f *fault) Unwrap() error { return f.err }

// classOf is the class of a fault in err's chain, and whether there is one.
func classOf(err error) (class, bool) {
	f, ok := errors.AsType[*fault](err)
	if !ok {
		return 0, false
	}
	return f.class, true
}

// codeClass is the meaning of AWS's code for an error. Its HTTP status says little, and not
// the same for every service.
func codeClass(code string, status int) class {
	is := func(codes ...string) bool { return slices.Contains(codes, code) }
	switch {
	case is("AuthException", "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized"):
		return permission
	case is("ExpiredToken", "ExpiredTokenException", "UnrecognizedClientException", "UnrecognizedClient", "InvalidClientTokenId",
		"InvalidAccessKeyId", "AuthFailure", "InvalidToken", "MissingAuthenticationToken", "MissingAuthenticationTokenException"):
		return credentials
	case is("SignatureDoesNotMatch", "InvalidSignatureException", "RequestExpired", "RequestTimeTooSkewed", "IncompleteSignature",
		"IncompleteSignatureException"):
		return configuration
	case is("InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed", "EC2InstanceNotFoundException"):
		return gone
	case is("EC2InstanceStateInvalidException", "EC2InstanceUnavailableException", "IncorrectInstanceState"):
		return notRunning
	case is("InvalidInstanceConnectEndpointId.NotFound", "InvalidInstanceConnectEndpointId.Malformed"):
		return noEndpoint
	case strings.Contains(code, "Throttl"), strings.HasPrefix(code, "RequestLimitExceeded"), is("TooManyRequestsException", "SlowDown"), status == 429:
		return throttled
	case status >= 500, is("ServiceException", "InternalError", "InternalFailure", "InternalServerError", "ServiceUnavailable", "Unavailable"):
		return transient
	}
	return configuration
}

// tell returns err in our words, for the caller. An unknown error is returned as it is.
func tell(ctx context.Context, err error) error {
	f, ok := errors.AsType[*fault](err)
	if _, known := errors.AsType[*sallyport.Error](err); known || !ok {
		return err
	}
	code := sallyport.CodeConnectFailed
	if ctx.Err() != nil {
		code = sallyport.CodeConnectTimeout
	}
	message, reason := f.words()
	e := sallyport.Errorf(code, "%s", message).Because(err)
	e.Reason = reason
	switch f.class {
	case pending:
		e.RetryAfter = limits.PendingRetryAfter
	case capacity:
		e.Code, e.RetryAfter = sallyport.CodeTooManyExecs, time.Second
	}
	return e
}

// words are the message for a caller, and the reason. They hold no name or address of
// anything in the account.
func (f *fault) words() (message, reason string) {
	message, reason = f.class.words(f.action)
	return cmp.Or(f.say, message), reason
}

func (c class) words(action string) (message, reason string) {
	switch c {
	case permission:
		return "AWS does not let the server reach the machine: it lacks the permission " + action, sallyport.ReasonPermission
	case credentials:
		return "the server has no AWS credentials, or AWS does not accept them", sallyport.ReasonCredentials
	case throttled:
		return "AWS takes no more requests of the server now; try again in a moment", sallyport.ReasonThrottled
	case gone:
		return "there is no such EC2 instance in this region and account", sallyport.ReasonNotFound
	case notRunning:
		return "the EC2 instance is not running, or has no address: start it first", sallyport.ReasonNotRunning
	case pending:
		return "the EC2 instance is starting; try again in a moment", sallyport.ReasonNotRunning
	case noEndpoint:
		return "the instance's VPC has no EC2 Instance Connect Endpoint that can be used", sallyport.ReasonNoEndpoint
	case capacity:
		return fmt.Sprintf("the EC2 Instance Connect Endpoint has no tunnel free: all of its VPC share %d; try again in a moment", limits.TunnelsPerEndpoint),
			sallyport.ReasonCapacity
	case configuration, stale:
		return "AWS refuses what the server asks for: its log tells more; is its clock right?", sallyport.ReasonConfiguration
	case unreachable:
		return "the endpoint can't reach the machine's SSH server: is it up, and do the security groups let the endpoint in?", sallyport.ReasonUnreachable
	}
	return "AWS could not be reached, or does not answer", sallyport.ReasonUnreachable
}

// plainCause is an error of an HTTP client without the URL, which may be presigned.
func plainCause(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
