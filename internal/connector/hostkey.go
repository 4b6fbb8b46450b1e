package connector

import (
	"errors"
	"strings"

	"golang.org/x/crypto/ssh"
)

// HostKeyLine is a key in the one form in which it is kept and compared: its type and
// base64, as known_hosts has it.
func HostKeyLine(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// ParseHostKey reads a host key as authorized_keys and known_hosts have it: its type
// and base64, and maybe a comment. Its error is for the person who gave it.
func ParseHostKey(text string) (ssh.PublicKey, error) {
	const want = `the host key must be one line of its type and base64, for example "ssh-ed25519 AAAA…", as ssh-keyscan prints it`
	key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil || len(options) > 0 || len(rest) > 0 {
		return nil, errors.New(want)
	}
	if _, isCert := key.(*ssh.Certificate); isCert || key.Type() == "ssh-dss" {
		return nil, errors.New(want)
	}
	return key, nil
}
