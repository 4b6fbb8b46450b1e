package cli

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"syscall"

	"sallyport/client"
	"sallyport/client/sallyport"
)

// hints give advice on errors of calls with an account, about a workspace; "" if the
// workspace isn't known.
type hints struct {
	account
	workspace string
}

// of is the advice for an error; "" if there is none.
func (h hints) of(err error) string {
	var refused *sallyport.Error
	if errors.As(err, &refused) {
		return h.forCode(refused)
	}
	var notOurs *client.StatusError
	if errors.As(err, &notOurs) {
		return h.forStatus(notOurs)
	}
	var cut *client.CutError
	switch {
	case errors.As(err, &cut) && cut.ExecID != "":
		return h.endOf(cut.ExecID)
	case errors.Is(err, client.ErrCut):
		return "the activity log shows whether it ran: sallyport activity --type workspace_exec"
	case errors.Is(err, client.ErrFileChanged):
		return "something writes to it: copy it again, or copy a copy: sallyport files cp"
	case errors.Is(err, client.ErrNoOrg):
		return "name one with --org; sallyport orgs list shows them"
	}
	return h.forNetwork(err)
}

// endOf names the command that shows an exec's end.
func (h hints) endOf(execID string) string {
	return "sallyport ps --all " + h.name() + " shows how it ended: exec " + execID
}

// name is the workspace, as a command takes it.
func (h hints) name() string {
	if h.workspace == "" {
		return "WORKSPACE"
	}
	return h.workspace
}

// login is the command that logs in to the account's server again.
func (h hints) login() string {
	if h.profile == "" || h.profile == defaultProfile {
		return "sallyport login"
	}
	return "sallyport login --profile " + h.profile
}

func (h hints) forCode(e *sallyport.Error) string {
	isStarted := e.Started != nil && *e.Started && e.ExecID != ""
	switch e.Code {
	case sallyport.CodeUnauthenticated, sallyport.CodeRevoked:
		return h.forToken()
	case sallyport.CodeScopeForbidden:
		return h.forScope()
	case sallyport.CodeExecTierForbidden:
		return "a token with scope workspaces can raise the tier: sallyport workspaces update --tier 3 " + h.name()
	case sallyport.CodeWorkspaceNotFound, sallyport.CodeWorkspaceDeleted:
		return "sallyport workspaces list shows those that this token may see (with the admin token, add --org)"
	case sallyport.CodeWorkspaceHasNoHost:
		return "give it a machine: sallyport workspaces update --ssh USER@HOST --trust-new-key " + h.name()
	case sallyport.CodeNameTaken:
		return "choose another name, or delete the one that has it"
	case sallyport.CodeOrgNotEmpty:
		return "see what is left: sallyport workspaces list --admin --org NAME"
	case sallyport.CodeTooManyCAKeys:
		return "wait, or end the older ones at once: sallyport ca rotate --now"
	case sallyport.CodeTooManyTokens:
		return "see which nobody uses: sallyport tokens list; the admin may allow more: sallyport orgs update --tokens N ORG"
	case sallyport.CodeTooManyWorkspaces:
		return "see which nobody uses: sallyport workspaces list; the admin may allow more: sallyport orgs update --workspaces N ORG"
	case sallyport.CodeAlreadyRun, sallyport.CodeRunning:
		return "it is exec " + e.ExecID + "; to run the command again, use another --idempotency-key"
	case sallyport.CodeExecTimeout:
		return "give it more time with --timeout (120s is the most)"
	case sallyport.CodeTooManyExecs:
		return h.forTooMany(e)
	case sallyport.CodeForwardForbidden:
		return "a token with scope workspaces can allow it: sallyport workspaces update --forward-allow HOST:PORTS " + h.name()
	case sallyport.CodeForwardFailed:
		return forForward(e)
	case sallyport.CodeTooManyForwards:
		return "end some of them: sallyport ps " + h.name() + " lists them, sallyport kill ends one"
	case sallyport.CodeTooManyStreams:
		return "close some of those that follow the activity, then try again"
	case sallyport.CodeConnectFailed, sallyport.CodeConnectTimeout, sallyport.CodeExecTransport:
		return h.forMachine(e, isStarted)
	case sallyport.CodeHostKeyMismatch:
		return "ask the machine's owner whether it was made anew; only then: sallyport workspaces update --trust-new-key " + h.name()
	case sallyport.CodeInvalidOrgID:
		return "name the organisation with --org"
	case sallyport.CodeInternal:
		if e.RequestID != "" {
			return "the server's log has more, under request id " + e.RequestID
		}
	}
	if isStarted {
		return h.endOf(e.ExecID)
	}
	if hint := h.forDetached(e); hint != "" {
		return hint
	}
	return h.forFiles(e)
}

// forTooMany is the advice where as many run as may.
func (h hints) forTooMany(e *sallyport.Error) string {
	switch e.Reason {
	case sallyport.ReasonDetached:
		return "wait for some to end, or remove those that nobody needs: sallyport ps --all " + h.name() + " lists them, sallyport rm ends and removes one"
	}
	return "wait for some to end, then try again"
}

// forDetached is the advice on the codes of detached execs.
func (h hints) forDetached(e *sallyport.Error) string {
	switch e.Code {
	case sallyport.CodeNotDetached:
		return "only what exec --detach has started keeps its output; sallyport ps --all " + h.name() + " shows how it ended"
	case sallyport.CodeOutputGone:
		return "sallyport ps --all " + h.name() + " shows how it ended; exec --detach --keep TIME keeps an output for longer"
	case sallyport.CodeSpoolUnavailable:
		return "the output is kept below the home of the login user there, or in /var/tmp: one of them must have room, and be writable"
	case sallyport.CodeInvalidSince:
		return "begin at 0, or leave --since out; --tail BYTES is the newest so many"
	case sallyport.CodeDetachedRunning:
		return "end them first: sallyport ps " + h.name() + " lists them, sallyport rm ends one"
	}
	return ""
}

// forForward is the advice on a target that doesn't take connections.
func forForward(e *sallyport.Error) string {
	switch e.Reason {
	case sallyport.ReasonRefused:
		return "does something listen there? the machine itself connects: 127.0.0.1 is its own loopback"
	case sallyport.ReasonProhibited:
		return "the machine's sshd forbids it: see AllowTcpForwarding, PermitOpen and DisableForwarding in its sshd_config"
	case sallyport.ReasonTimeout:
		return "can the machine reach that address? a firewall may drop what it sends"
	}
	return ""
}

// forFiles is the advice on the codes of files and attachments.
func (h hints) forFiles(e *sallyport.Error) string {
	switch e.Code {
	case sallyport.CodeTooManyTransfers:
		return "wait for some file operations to end, then try again"
	case sallyport.CodeInvalidRoot:
		return "see what the workspace's root is: sallyport workspaces get " + h.name() + "; set another: sallyport workspaces update --root DIR " + h.name()
	case sallyport.CodeFilesUnsupported:
		return "the machine needs /proc, and coreutils or busybox"
	case sallyport.CodePermissionDenied:
		return "files are read and written as the user of the workspace's connector, without sudo"
	case sallyport.CodeFileNotFound:
		return "paths are relative to the workspace's root; sallyport ls " + h.name() + " lists it"
	case sallyport.CodeInvalidPath:
		return "a path stays below the workspace's root, also where links lead"
	case sallyport.CodeFileIO:
		return "the machine's disk or file system failed; see its own log"
	case sallyport.CodeFileTimeout:
		return h.forMachine(e, false)
	case sallyport.CodeIsADirectory:
		return "name a file in it; a directory at the end of a copy is written with a slash: " + h.name() + ":DIR/"
	case sallyport.CodeExists:
		return "remove what is there first: sallyport files rm -r"
	case sallyport.CodeAttachmentNotFound:
		return "sallyport attachments ls " + h.name() + " lists those that are there; one that has expired is gone"
	case sallyport.CodeAttachmentGone:
		return "sallyport attachments rm removes what is left of it, its record"
	case sallyport.CodeAttachmentTooLarge:
		return "copy it as a file: sallyport cp FILE " + h.name() + ":; or the admin may allow more: sallyport orgs update --attachment-bytes N ORG"
	case sallyport.CodeNoSpace:
		if e.Reason == sallyport.ReasonOrganisation {
			return "see what nobody needs: sallyport attachments ls " + h.name() + "; the admin may allow more: sallyport orgs update --attachments-bytes N ORG"
		}
		return "make room on the machine; what was there before still stands"
	}
	return ""
}

// forToken is the advice on a token that the server doesn't accept.
func (h hints) forToken() string {
	switch {
	case h.profile == "" && h.url != "":
		return "put a valid token into " + envToken + ", or unset it and " + envURL + " to use a profile"
	case h.profile == devProfile:
		return "each start of sallyport dev makes new tokens and writes them to its profile: is the server that you started last still the one at " + h.url + "?"
	}
	return "log in with a valid token: " + h.login()
}

// forScope is the advice on a token that lacks a scope. Where the environment's token is in
// use, no flag brings another.
func (h hints) forScope() string {
	const look = "; sallyport whoami shows this token's scopes"
	if h.profile == "" && h.url != "" {
		return "put a token with the scope that this needs into " + envToken + ", or unset it and " + envURL + " to use a profile" + look
	}
	return "use a token with the scope that this needs, or --admin" + look
}

func (h hints) forMachine(e *sallyport.Error, isStarted bool) string {
	look := "sallyport doctor " + h.name() + " shows which step on the way to the machine fails"
	if isStarted {
		return h.endOf(e.ExecID) + "; " + look
	}
	return look
}

func (h hints) forStatus(e *client.StatusError) string {
	switch {
	case e.WantsTLS:
		return "begin its URL with https://"
	case e.Location != "":
		return "log in with the address that it names: " + h.login() + " --url URL"
	case e.StatusCode == http.StatusBadGateway, e.StatusCode == http.StatusServiceUnavailable, e.StatusCode == http.StatusGatewayTimeout:
		return "a proxy answered: is the server behind it running?"
	}
	return "check the URL: is it that of a Sallyport server?"
}

func (h hints) forNetwork(err error) string {
	var dns *net.DNSError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var record tls.RecordHeaderError
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return h.forRefused()
	case errors.As(err, &dns):
		return "check the URL: its host has no address"
	case errors.As(err, &unknown), errors.As(err, &name):
		return "this machine doesn't trust the server's certificate for this name; for a CA of your own: " + h.login() + " --ca-cert FILE"
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return "the server speaks no TLS: does its URL begin with http://?"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "the server did not answer in time: check the URL, and whether it is up"
	}
	return ""
}

// forRefused is the advice if nothing listens at the server's address.
func (h hints) forRefused() string {
	switch {
	case h.profile == devProfile:
		return "is the server running? start it with: sallyport dev"
	case h.profile != "":
		return "is the server running? sallyport profiles lists the others; profile " + h.profile + " is for " + h.url
	case h.url != "":
		return "is the server running? its address is from " + envURL
	}
	return "is the server running?"
}
