package httpapi

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"sallyport/client/sallyport"
)

// statuses is the one mapping of codes to HTTP. A code that is not in it is 400:
// something in the request.
func statusOf(code sallyport.Code) int {
	switch code {
	case sallyport.CodeUnauthenticated, sallyport.CodeRevoked:
		return http.StatusUnauthorized
	case sallyport.CodeScopeForbidden, sallyport.CodeExecTierForbidden, sallyport.CodeCrossOrigin, sallyport.CodePermissionDenied,
		sallyport.CodeForwardForbidden:
		return http.StatusForbidden
	case sallyport.CodeWorkspaceNotFound, sallyport.CodeNotFound, sallyport.CodeWorkspaceDeleted,
		sallyport.CodeFileNotFound, sallyport.CodeAttachmentNotFound:
		return http.StatusNotFound
	case sallyport.CodeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case sallyport.CodeRequestTimeout:
		return http.StatusRequestTimeout
	case sallyport.CodeNameTaken, sallyport.CodeOrgNotEmpty, sallyport.CodeTooManyCAKeys, sallyport.CodeTooManyTokens, sallyport.CodeTooManyWorkspaces, sallyport.CodeNotRunning,
		sallyport.CodeAlreadyRun, sallyport.CodeRunning, sallyport.CodeIsADirectory, sallyport.CodeNotADirectory, sallyport.CodeNotAFile,
		sallyport.CodeNotEmpty, sallyport.CodeExists, sallyport.CodeNoMatch, sallyport.CodeUploadOffsetMismatch,
		sallyport.CodeKilled, sallyport.CodeNotDetached, sallyport.CodeDetachedRunning:
		return http.StatusConflict
	case sallyport.CodeAttachmentGone, sallyport.CodeOutputGone:
		return http.StatusGone
	case sallyport.CodePreconditionFailed:
		return http.StatusPreconditionFailed
	case sallyport.CodeRangeNotSatisfiable:
		return http.StatusRequestedRangeNotSatisfiable
	case sallyport.CodeNoSpace:
		return http.StatusInsufficientStorage
	case sallyport.CodeBodyTooLarge, sallyport.CodeFileTooLarge, sallyport.CodeAttachmentTooLarge:
		return http.StatusRequestEntityTooLarge
	case sallyport.CodeUnsupportedMediaType:
		return http.StatusUnsupportedMediaType
	case sallyport.CodeMisdirectedRequest:
		return http.StatusMisdirectedRequest
	case sallyport.CodeTooManyExecs, sallyport.CodeRateLimited, sallyport.CodeTooManyStreams,
		sallyport.CodeTooManyTransfers, sallyport.CodeTooManyForwards:
		return http.StatusTooManyRequests
	case sallyport.CodeConnectFailed, sallyport.CodeConnectTimeout, sallyport.CodeHostKeyMismatch, sallyport.CodeExecTransport,
		sallyport.CodeFileIO, sallyport.CodeFilesUnsupported, sallyport.CodeForwardFailed:
		return http.StatusBadGateway
	case sallyport.CodeDraining, sallyport.CodePlatformUnavailable, sallyport.CodeCanceled, sallyport.CodeInterrupted:
		return http.StatusServiceUnavailable
	case sallyport.CodeExecTimeout, sallyport.CodeFileTimeout:
		return http.StatusGatewayTimeout
	case sallyport.CodeIdempotencyMismatch, sallyport.CodeInvalidRoot, sallyport.CodeSpoolUnavailable:
		return http.StatusUnprocessableEntity
	case sallyport.CodeUpgradeRequired:
		return http.StatusUpgradeRequired
	case sallyport.CodeHTTPVersionNotSupported:
		return http.StatusHTTPVersionNotSupported
	case sallyport.CodeInternal:
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// wireError is err as callers see it: our words, and for what is our fault
// nothing but the id of the request.
func (c *call) wireError(err error) *sallyport.Error {
	var known *sallyport.Error
	if errors.As(err, &known) {
		return known
	}
	e := sallyport.Errorf(sallyport.CodeInternal, "something went wrong on the server; its log tells more under this request's id")
	e.RequestID = c.requestID
	return e
}

// fail answers with err. It is the only place that turns an error into an answer.
func (c *call) fail(err error) {
	e := c.wireError(err)
	status := statusOf(e.Code)
	if e.Code == sallyport.CodeInvalidCwd && e.Started != nil {
		status = http.StatusUnprocessableEntity // known only on the machine
	}
	h := c.w.Header()
	switch status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if e.Started == nil || !*e.Started { // what ran is not to run again
			h.Set("Retry-After", "1")
		}
	}
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(e.RetryAfter.Round(time.Second)/time.Second)))
	}
	c.cause = err
	c.answer(status, e)
}
