package client_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
)

// The keys come with what TrustedUserCAKeys takes of each.
func TestCAKeys(t *testing.T) {
	created, ends := time.Date(2026, 11, 17, 8, 0, 0, 0, time.UTC), time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	newest, err := sallyport.NewCAKey("new", "ssh-ed25519 AAAAbmV3", created, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	old, err := sallyport.NewCAKey("old", "ssh-ed25519 AAAAb2xk", created, ends)
	if err != nil {
		t.Fatal(err)
	}
	asked := ""
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " + r.URL.String()
		if r.Header.Get("Accept") != "application/json" || r.Header.Get("Authorization") == "" {
			t.Errorf("asked with %q", r.Header)
		}
		answerJSON(w, 200, sallyport.List[sallyport.CAKey]{Items: []sallyport.CAKey{newest, old}})
	})
	keys, err := c.CAKeys(t.Context())
	if err != nil || len(keys) != 2 || asked != "GET /ca" {
		t.Fatalf("%v, %v of %s", keys, err, asked)
	}
	if keys[0].ID != "new" || !keys[0].CreatedAt.Equal(created) || keys[0].EndsAt != nil || !strings.HasPrefix(keys[0].Fingerprint, "SHA256:") {
		t.Errorf("the newest is %+v", keys[0])
	}
	if end := keys[1].EndsAt; keys[1].ID != "old" || end == nil || !end.Equal(ends) {
		t.Errorf("the other is %+v", keys[1])
	}
	const want = "ssh-ed25519 AAAAbmV3 sallyport-ca-new\nssh-ed25519 AAAAb2xk sallyport-ca-old until 2026-11-24T08:00:00Z\n"
	if got := keys[0].Line() + "\n" + keys[1].Line() + "\n"; got != want {
		t.Errorf("as lines %q", got)
	}
	c.Org = "acme"
	if _, err := c.CAKeys(t.Context()); err != nil || asked != "GET /ca?org=acme" {
		t.Errorf("%v of %s", err, asked)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.New("http://127.0.0.1:1", "").CAKeys(canceled); !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "get the SSH CA's keys: ") {
		t.Errorf("canceled: %v", err)
	}
}

// What is no public key has no fingerprint.
func TestNewCAKeyErrors(t *testing.T) {
	for _, bad := range []string{"", "ssh-ed25519", "ssh-ed25519 ", "ssh-ed25519 ***", " AAAA"} {
		if key, err := sallyport.NewCAKey("x", bad, time.Time{}, time.Time{}); err == nil {
			t.Errorf("%q: %+v", bad, key)
		}
	}
}
