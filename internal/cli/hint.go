package cli

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"syscall"

	"sallyport"
	"sallyport/client"
)

// hintFor says what to do about an error; "" where that is plain, or nobody knows.
func hintFor(err error) string {
	var refused *sallyport.Error
	if errors.As(err, &refused) {
		return hintForCode(refused)
	}
	var notOurs *client.StatusError
	if errors.As(err, &notOurs) {
		return hintForStatus(notOurs)
	}
	var cut *client.CutError
	switch {
	case errors.As(err, &cut) && cut.ExecID != "":
		return "the activity log tells how it ended, under id " + cut.ExecID + ": sallyport activity --output json"
	case errors.Is(err, client.ErrCut):
		return "the activity log tells whether it ran: sallyport activity --type workspace_exec"
	case errors.Is(err, client.ErrNoOrg):
		return "name one with --org; sallyport orgs list shows them"
	}
	return hintForNetwork(err)
}

func hintForCode(e *sallyport.Error) string {
	switch e.Code {
	case sallyport.CodeUnauthenticated, sallyport.CodeRevoked:
		return "log in with a token that is valid: sallyport login"
	case sallyport.CodeScopeForbidden:
		return "use a token that may, or --admin where the profile has the admin's"
	case sallyport.CodeExecTierForbidden:
		return "who may raise the tier does it with: sallyport workspaces update --tier 3 NAME"
	case sallyport.CodeWorkspaceNotFound, sallyport.CodeWorkspaceDeleted:
		return "see which there are: sallyport workspaces list (the admin adds --org)"
	case sallyport.CodeWorkspaceHasNoHost:
		return "give it a machine: sallyport workspaces update --connector local NAME"
	case sallyport.CodeNameTaken:
		return "choose another name, or delete what has it"
	case sallyport.CodeOrgNotEmpty:
		return "see what is left: sallyport workspaces list --admin --org NAME"
	case sallyport.CodeTooManyCAKeys:
		return "wait, or end those before the new one at once: sallyport ca rotate --now"
	case sallyport.CodeAlreadyRun, sallyport.CodeRunning:
		return "it is exec " + e.ExecID + "; the same command again takes another --idempotency-key"
	case sallyport.CodeExecTimeout:
		return "give it more time with --timeout (120s is the most)"
	case sallyport.CodeTooManyExecs:
		return "wait for some to end, then try again"
	case sallyport.CodeTooManyStreams:
		return "close some of those that follow the activity, then try again"
	case sallyport.CodeConnectFailed, sallyport.CodeConnectTimeout, sallyport.CodeExecTransport:
		return "see whether its machine is up; the server's log tells more"
	case sallyport.CodeHostKeyMismatch:
		return "the machine is not the one it was: ask its owner before anything else"
	case sallyport.CodeInvalidOrgID:
		return "name the organisation with --org"
	case sallyport.CodeInternal:
		if e.RequestID != "" {
			return "the server's log tells more under request id " + e.RequestID
		}
	}
	return ""
}

func hintForStatus(e *client.StatusError) string {
	switch {
	case e.WantsTLS:
		return "begin its URL with https://"
	case e.Location != "":
		return "log in with the address that it names: sallyport login --url URL"
	case e.StatusCode == http.StatusBadGateway, e.StatusCode == http.StatusServiceUnavailable, e.StatusCode == http.StatusGatewayTimeout:
		return "a proxy answered: is the server behind it running?"
	}
	return "check the URL: is it that of a Sallyport server?"
}

func hintForNetwork(err error) string {
	var dns *net.DNSError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var record tls.RecordHeaderError
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "is the server running? start one here with: sallyport dev"
	case errors.As(err, &dns):
		return "check the URL: its host has no address"
	case errors.As(err, &unknown), errors.As(err, &name):
		return "the server's certificate is not one that this machine trusts for this name"
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return "the server speaks no TLS: does its URL begin with http://?"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "the server did not answer in time: check the URL, and whether it is up"
	}
	return ""
}
