package eic

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/crypto/ssh"
)

const (
	sendKey = "ec2-instance-connect:SendSSHPublicKey"
	// pushTarget names the operation in AWS JSON 1.1.
	pushTarget = "AWSEC2InstanceConnectService.SendSSHPublicKey"
)

// newKey makes a key that lives in memory alone. ed25519, since the instance takes only
// keys whose line begins with ssh, and its line is just the 80 characters that the API
// wants at least.
func newKey() (ssh.Signer, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return ssh.NewSignerFromSigner(private)
}

// push lets a key open an instance for a user, for 60 s, any number of logins.
func (a *account) push(ctx context.Context, instanceID, user string, key ssh.PublicKey) (requestID string, err error) {
	body, err := json.Marshal(map[string]string{
		"InstanceId": instanceID, "InstanceOSUser": user, "SSHPublicKey": strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))),
	})
	if err != nil {
		return "", err
	}
	got, err := a.do(ctx, call{
		action: sendKey, service: pushService(), body: body, failed: jsonCode,
		header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {pushTarget}},
	})
	if err != nil {
		return "", err
	}
	var result struct {
		Success   bool
		RequestID string `json:"RequestId"`
	}
	err = json.Unmarshal(got.body, &result)
	if err == nil && !result.Success {
		err = errors.New("the answer says that it was no success")
	}
	if err != nil {
		return "", &fault{class: configuration, action: sendKey, requestID: got.requestID, err: err}
	}
	return got.requestID, nil
}

// jsonCode is the code of an error of AWS JSON, without its namespace.
func jsonCode(body []byte) string {
	var e struct {
		Type string `json:"__type"`
	}
	_ = json.Unmarshal(body, &e) // a body that isn't AWS's has no code
	return e.Type[strings.LastIndexByte(e.Type, '#')+1:]
}
