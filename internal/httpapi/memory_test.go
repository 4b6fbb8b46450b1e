package httpapi

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
	"sallyport/internal/principal"
	"sallyport/internal/quota"
)

// stuck is a reader that takes no answer until it is let go.
type stuck struct {
	http.ResponseWriter
	begun   chan<- struct{}
	release <-chan struct{}
}

func (s *stuck) Write(p []byte) (int, error) {
	s.begun <- struct{}{}
	<-s.release
	return len(p), nil
}

// Answers that nobody reads count in the budget of their organisation: one more that only
// shows something is refused. Small ones aren't, what was done is told all the same, and no
// other organisation notices.
func TestUnreadAnswers(t *testing.T) {
	a := &API{Memory: quota.NewMemory(64 << 20), Log: slog.New(slog.DiscardHandler)}
	page := strings.Repeat("x", 2<<20) // 15 of these fill a half
	answer := func(method, org, text string, w http.ResponseWriter) {
		c := a.newCall(w, httptest.NewRequest(method, "/workspaces/w/activity", nil), nil)
		c.by = gateway.Caller{Principal: principal.Principal{OrgID: org}}
		defer c.held.Close()
		c.answer(http.StatusOK, text)
	}
	const most = 15
	begun, release := make(chan struct{}, most), make(chan struct{})
	var all sync.WaitGroup
	for range most {
		all.Go(func() { answer(http.MethodGet, "a", page, &stuck{httptest.NewRecorder(), begun, release}) })
	}
	for range most {
		<-begun
	}
	for _, tt := range []struct {
		what, method, org, text string
		want                    int
	}{
		{"one more", http.MethodGet, "a", page, http.StatusTooManyRequests},
		{"a small one", http.MethodGet, "a", "small", http.StatusOK},
		{"of what was done", http.MethodPost, "a", page, http.StatusOK},
		{"another organisation's", http.MethodGet, "b", page, http.StatusOK},
	} {
		w := httptest.NewRecorder()
		answer(tt.method, tt.org, tt.text, w)
		if w.Code != tt.want || w.Code != http.StatusOK && !strings.Contains(w.Body.String(), `"code":"rate_limited","reason":"`+sallyport.ReasonMemory+`"`) {
			t.Errorf("%s: %d %.200s, want %d", tt.what, w.Code, w.Body, tt.want)
		}
	}
	close(release)
	all.Wait()
	if used := a.Memory.Used(); used != 0 {
		t.Errorf("%d bytes are held by nobody", used)
	}
}
