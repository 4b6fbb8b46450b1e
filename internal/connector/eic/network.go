package eic

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
)

// networkFault is an error on the way to AWS. A certificate that doesn't hold is never
// worth another try.
func networkFault(action string, err error) *fault {
	f := &fault{class: transient, action: action, err: plainCause(err)}
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	if errors.As(err, &unknown) || errors.As(err, &invalid) || errors.As(err, &host) || errors.As(err, &verify) || errors.As(err, &record) {
		f.class = configuration
		f.say = "what answers in AWS's place has no certificate that holds: the server's log tells more"
	}
	return f
}

// isNoName tells a name that stands for no address from a resolver that doesn't answer.
func isNoName(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}
