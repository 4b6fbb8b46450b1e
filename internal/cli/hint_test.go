package cli

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"sallyport/client"
	"sallyport/client/sallyport"
)

func TestHints(t *testing.T) {
	withID := sallyport.Errorf(sallyport.CodeInternal, "x")
	withID.RequestID = "r-1"
	for want, err := range map[string]error{
		"sallyport login": sallyport.Errorf(sallyport.CodeUnauthenticated, "x"),
		"sallyport workspaces update --tier 3 WORKSPACE":                        sallyport.Errorf(sallyport.CodeExecTierForbidden, "x"),
		"sallyport workspaces list":                                             sallyport.Errorf(sallyport.CodeWorkspaceNotFound, "x"),
		"sallyport ps --all WORKSPACE shows how it ended; exec --detach --keep": sallyport.Errorf(sallyport.CodeOutputGone, "x"),
		"sallyport rm ends and removes one":                                     sallyport.Errorf(sallyport.CodeTooManyExecs, "x").WithReason(sallyport.ReasonDetached),
		"request id r-1":                                                        withID,
		"is the server running?":                                                fmt.Errorf("reach: %w", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}),
		"its host has no address":                                               &net.DNSError{Err: "no such host", Name: "x"},
		"login --ca-cert FILE":                                                  x509.UnknownAuthorityError{},
		"a proxy answered":                                                      &client.StatusError{StatusCode: 502},
		"sallyport login --url URL":                                             &client.StatusError{StatusCode: 302, Location: "x"},
		"is it that of a Sallyport server":                                      &client.StatusError{StatusCode: 200},
		"--org":                                                                 fmt.Errorf("list tokens: %w", client.ErrNoOrg),
		"whether it ran":                                                        &client.CutError{Err: errors.New("x")},
		"did not answer in time":                                                &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded},
		"see sallyport --help":                                                  usagef("see sallyport --help", "x"),
		"sallyport workspaces list --admin --org NAME":                          sallyport.Errorf(sallyport.CodeOrgNotEmpty, "x"),
		"sallyport workspaces update --ssh USER@HOST":                           sallyport.Errorf(sallyport.CodeWorkspaceHasNoHost, "x"),
	} {
		if got := (&app{}).hintOf(fmt.Errorf("doing: %w", err)); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
	if got := (&app{}).hintOf(errors.New("x")); got != "" {
		t.Errorf("a hint from nowhere: %q", got)
	}
}
