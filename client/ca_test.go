package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport"
	"sallyport/client"
)

// The CA's keys come as a file, to whoever asks and without a token.
func TestCAKeys(t *testing.T) {
	const text = "ssh-ed25519 AAAAbmV3 sallyport-ca-new\nssh-ed25519 AAAAb2xk sallyport-ca-old until 2026-11-24T08:00:00Z\n"
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.String() != "/ca" || r.Header["Authorization"] != nil {
			t.Errorf("asked %s %s with %q", r.Method, r.URL, r.Header["Authorization"])
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprint(w, text)
	})
	keys, err := c.CAKeys(t.Context())
	if err != nil || len(keys) != 2 {
		t.Fatalf("%v, %v", keys, err)
	}
	if keys[0].ID != "new" || keys[0].PublicKey != "ssh-ed25519 AAAAbmV3" || keys[0].EndsAt != nil || !strings.HasPrefix(keys[0].Fingerprint, "SHA256:") {
		t.Errorf("the newest is %+v", keys[0])
	}
	if end := keys[1].EndsAt; keys[1].ID != "old" || end == nil || !end.Equal(time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)) {
		t.Errorf("the other is %+v", keys[1])
	}
	if got := keys[0].Line() + "\n" + keys[1].Line() + "\n"; got != text {
		t.Errorf("as lines %q", got)
	}
}

// What is no such file is an error that says what was being done.
func TestCAKeysErrors(t *testing.T) {
	answers := map[string]func(http.ResponseWriter){
		"503": func(w http.ResponseWriter) {
			answerJSON(w, 503, sallyport.Errorf(sallyport.CodePlatformUnavailable, "not now"))
		},
		"a page":        func(w http.ResponseWriter) { w.Header().Set("Content-Type", "text/html") },
		"another text":  func(w http.ResponseWriter) { textAnswer(w, "hello\n") },
		"no CA of ours": func(w http.ResponseWriter) { textAnswer(w, "ssh-ed25519 AAAAbmV3 root@machine\n") },
		"no key":        func(w http.ResponseWriter) { textAnswer(w, "ssh-ed25519 *** sallyport-ca-1\n") },
		"no end":        func(w http.ResponseWriter) { textAnswer(w, "ssh-ed25519 AAAAbmV3 sallyport-ca-1 until soon\n") },
	}
	for what, answer := range answers {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) { answer(w) })
		keys, err := c.CAKeys(t.Context())
		if err == nil || !strings.HasPrefix(err.Error(), "get the SSH CA's keys: ") {
			t.Errorf("%s: %v, %v", what, keys, err)
		}
		if what == "503" && sallyport.CodeOf(err) != sallyport.CodePlatformUnavailable {
			t.Errorf("%s: code %s", what, sallyport.CodeOf(err))
		}
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.New("http://127.0.0.1:1", "").CAKeys(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func textAnswer(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain")
	fmt.Fprint(w, text)
}
