package eic

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
)

// networkClass is what an error on the way to AWS means. A certificate that doesn't
// hold is never worth another try.
func networkClass(err error) class {
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	if errors.As(err, &unknown) || errors.As(err, &invalid) || errors.As(err, &host) || errors.As(err, &verify) || errors.As(err, &record) {
		return configuration
	}
	return transient
}

// isNoName tells a name that stands for no address from a resolver that doesn't answer.
func isNoName(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}
