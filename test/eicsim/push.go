package eicsim

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// grantLife is how long a pushed key opens its instance.
const grantLife = 60 * time.Second

// grant is one pushed key.
type grant struct {
	instance, user, key string
	expires             time.Time
}

type pushRequest struct {
	InstanceID       string  `json:"InstanceId"`
	OSUser           string  `json:"InstanceOSUser"`
	Key              string  `json:"SSHPublicKey"`
	AvailabilityZone *string `json:"AvailabilityZone"`
}

type pushResponse struct {
	RequestID string `json:"RequestId"`
	Success   bool
}

func (s *Sim) push(r *http.Request, c call) (any, *APIError) {
	if target := r.Header.Get("X-Amz-Target"); target != "AWSEC2InstanceConnectService.SendSSHPublicKey" {
		return nil, invalid("UnknownOperationException", "unknown target %s", target)
	}
	if kind := r.Header.Get("Content-Type"); r.Method != http.MethodPost || kind != "application/x-amz-json-1.1" {
		return nil, invalid("UnknownOperationException", "%s of %q", r.Method, kind)
	}
	var p pushRequest
	decoder := json.NewDecoder(bytes.NewReader(c.body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		return nil, invalid("SerializationException", "%v", err)
	}
	if fault := p.check(); fault != nil {
		return nil, fault
	}
	i, ok := s.instance(p.InstanceID)
	switch {
	case !ok || i.State == "terminated" || p.AvailabilityZone != nil && *p.AvailabilityZone != i.AvailabilityZone:
		return nil, invalid("EC2InstanceNotFoundException", "Instance not found")
	case !i.isRunning():
		return nil, invalid("EC2InstanceStateInvalidException", "Instance is %s", i.State)
	case i.OSUsers != nil && !slices.Contains(i.OSUsers, p.OSUser):
		return nil, invalid("AccessDeniedException", "no policy allows ec2-instance-connect:SendSSHPublicKey for the OS user %s", p.OSUser)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grants = append(s.grants, grant{p.InstanceID, p.OSUser, strings.TrimSpace(p.Key), s.now().Add(grantLife)})
	return pushResponse{c.id, true}, nil
}

// check holds the fields to what the service's model says of them.
func (p pushRequest) check() *APIError {
	isZone := regexp.MustCompile(`^(\w+-){2,3}\d+\w+$`).MatchString
	switch {
	case len(p.InstanceID) < 10 || len(p.InstanceID) > 32 || !regexp.MustCompile(`^i-[a-f0-9]+$`).MatchString(p.InstanceID):
		return invalid("InvalidArgsException", "InstanceId %q is not valid", p.InstanceID)
	case len(p.OSUser) > 32 || !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9@._-]*$`).MatchString(p.OSUser):
		return invalid("InvalidArgsException", "InstanceOSUser %q is not valid", p.OSUser)
	case len(p.Key) < 80 || len(p.Key) > 4096:
		return invalid("InvalidArgsException", "SSHPublicKey has %d characters", len(p.Key))
	case fingerprint(p.Key) == "":
		return invalid("InvalidArgsException", "SSHPublicKey is no key that is taken")
	case p.AvailabilityZone != nil && (len(*p.AvailabilityZone) < 6 || len(*p.AvailabilityZone) > 32 || !isZone(*p.AvailabilityZone)):
		return invalid("InvalidArgsException", "AvailabilityZone %q is not valid", *p.AvailabilityZone)
	}
	return nil
}

// fingerprint is a key line's, as ssh-keygen writes it; empty for what is no line of
// the types that the instance's side takes.
func fingerprint(line string) string {
	fields := strings.Fields(line)
	if strings.ContainsAny(line, "\r\n\x00") || len(fields) < 2 || fields[0] != "ssh-ed25519" && fields[0] != "ssh-rsa" {
		return ""
	}
	blob, err := base64.StdEncoding.DecodeString(fields[1])
	named := fmt.Appendf(nil, "\x00\x00\x00%c%s", len(fields[0]), fields[0])
	if err != nil || !bytes.HasPrefix(blob, named) {
		return ""
	}
	sum := sha256.Sum256(blob)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// Authorized are the key lines that open an instance for a user now.
func (s *Sim) Authorized(instanceID, user string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grants = slices.DeleteFunc(s.grants, func(g grant) bool { return !s.now().Before(g.expires) })
	var lines []string
	for _, g := range s.grants {
		if g.instance == instanceID && g.user == user {
			lines = append(lines, g.key)
		}
	}
	return lines
}

// SSHDConfig are the lines of an sshd's configuration that make it the instance's:
// at each login it asks this simulator which keys are granted, and no other key opens.
//
// sshd demands of the program that root alone can change it and all above it, which no
// directory of a test's is. So the program is the system's bash with a script of one
// line, and nothing is left on the disk. It runs as who logs in, the one account
// that is there in every sshd of test/sshd, whoever runs it.
func (s *Sim) SSHDConfig(instanceID string) []string {
	host, port, _ := strings.Cut(s.api.Addr().String(), ":")
	script := fmt.Sprintf(`exec 3<>/dev/tcp/%s/%s || exit 1; `, host, port) +
		`printf "GET /_sim/keys?instance=$0&user=$1&fingerprint=$2 HTTP/1.0\r\n\r\n" >&3; ` +
		`while IFS= read -r line <&3 && [ ${#line} -gt 1 ]; do :; done; cat <&3`
	return []string{
		"AuthorizedKeysCommand /bin/bash -c '" + script + "' " + instanceID + " %u %f",
		"AuthorizedKeysCommandUser %u",
		"AuthorizedKeysFile none",
	}
}

// serveKeys answers an sshd.
func (s *Sim) serveKeys(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	// A plus in the fingerprint comes as it is.
	asked := strings.ReplaceAll(query.Get("fingerprint"), " ", "+")
	for _, line := range s.Authorized(query.Get("instance"), query.Get("user")) {
		if asked == "" || fingerprint(line) == asked {
			fmt.Fprintln(w, line)
		}
	}
}
