package connector

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// HostKeyLine formats a key as it is stored and compared: its type and base64.
func HostKeyLine(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// ParseHostKey reads a host key as people have it at hand: its type and base64 with or
// without a comment, or a line of ssh-keyscan or known_hosts, which names hosts before
// them. The names decide nothing. Its error is for the person who gave the key.
func ParseHostKey(text string) (ssh.PublicKey, error) {
	const want = `the host key must be one line of its type and base64, for example "ssh-ed25519 AAAA…", or a line as ssh-keyscan prints it`
	key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil || len(options) > 0 {
		var marker string
		marker, _, key, _, rest, err = ssh.ParseKnownHosts([]byte(text))
		if err == nil && marker != "" {
			return nil, fmt.Errorf("%s: a line marked @%.20q vouches for no single machine", want, marker)
		}
	}
	if err != nil || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, errors.New(want)
	}
	if _, isCert := key.(*ssh.Certificate); isCert || key.Type() == "ssh-dss" {
		return nil, errors.New(want)
	}
	return key, nil
}
