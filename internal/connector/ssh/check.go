package ssh

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"sallyport/client/sallyport"
	"sallyport/internal/connector"
)

const (
	// hostCharsMax is the longest name of a host (RFC 1035).
	hostCharsMax = 253
	// userCharsMax is more than any system's login names have.
	userCharsMax = 64
)

// Check returns what is wrong with a connector of this type, for the person who set
// it, and the connector as it is to be stored, but for its private key, which is to
// be sealed; hasKey tells that one is stored already.
func (c *Connector) Check(spec sallyport.Connector, hasKey bool) (sallyport.Connector, error) {
	if err := checkHost(spec.Host); err != nil {
		return spec, err
	}
	if spec.Port < 0 || spec.Port > 65535 {
		return spec, errors.New("connector.port must be 1 to 65535")
	}
	if spec.User == "" || len(spec.User) > userCharsMax || strings.HasPrefix(spec.User, "-") || strings.ContainsFunc(spec.User, notPlain) {
		return spec, fmt.Errorf("connector.user must be the login name on the machine, of 1 to %d visible characters", userCharsMax)
	}
	switch {
	case spec.HostKey != "":
		key, err := connector.ParseHostKey(spec.HostKey)
		if err != nil {
			return spec, fmt.Errorf("connector.host_key: %w", err)
		}
		spec.HostKey = connector.HostKeyLine(key)
	case !spec.TrustOnFirstUse:
		return spec, errors.New(`connector.host_key is needed: the machine's key, as ssh-keyscan prints it, or "trust_on_first_use": true`)
	}
	return c.checkAuth(spec, hasKey)
}

func (c *Connector) checkAuth(spec sallyport.Connector, hasKey bool) (sallyport.Connector, error) {
	auth := sallyport.ConnectorAuth{Type: sallyport.AuthCA}
	if spec.Auth != nil {
		auth = *spec.Auth
	}
	spec.Auth = &auth
	switch {
	case auth.Type == sallyport.AuthCA && auth.PrivateKey != "":
		return spec, errors.New(`connector.auth.private_key goes with "type": "key"`)
	case auth.Type == sallyport.AuthCA:
		return spec, nil
	case auth.Type != sallyport.AuthKey:
		return spec, errors.New(`connector.auth.type must be "ca" (a certificate of this server's CA) or "key" (a private key)`)
	case auth.PrivateKey == "" && hasKey:
		return spec, nil
	case auth.PrivateKey == "":
		return spec, errors.New("connector.auth.private_key is needed: a key as ssh-keygen writes it, without a passphrase")
	}
	if _, err := ParseKey([]byte(auth.PrivateKey)); err != nil {
		return spec, fmt.Errorf("connector.auth.private_key: %w", err)
	}
	return spec, nil
}

// checkHost takes a name or an address, without a port or brackets. Whether the
// address may be dialled is asked when it is.
func checkHost(host string) error {
	const want = "connector.host must be a name or an address, such as 192.0.2.5 or build.example, without a port"
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	if host == "" || len(host) > hostCharsMax || strings.HasPrefix(host, "-") {
		return errors.New(want)
	}
	for _, c := range host {
		isLetter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !isLetter && (c < '0' || c > '9') && !strings.ContainsRune("-._", c) {
			return errors.New(want)
		}
	}
	return nil
}

func notPlain(r rune) bool { return r <= ' ' || r == 0x7f || r > 0x7f }
