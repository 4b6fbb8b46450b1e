package contract

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/coder/websocket"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

// streamOf opens an event stream as a browser does with a cookie, or any client with a
// token, and returns how to close it; nil and the answer when it is refused.
func streamOf(t *testing.T, s *stack.Stack, path string, as func(*http.Request)) (closeIt func(), refused stack.Answer) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req := s.Request(t, http.MethodGet, path, "", "").WithContext(ctx)
	as(req)
	web := &http.Transport{}
	resp, err := web.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	closeIt = func() {
		cancel()
		resp.Body.Close()
		web.CloseIdleConnections()
	}
	if resp.StatusCode == http.StatusOK {
		t.Cleanup(closeIt)
		return closeIt, stack.Answer{}
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	closeIt()
	return nil, stack.Answer{Status: resp.StatusCode, Header: resp.Header, Body: string(body)}
}

func withToken(secret string) func(*http.Request) {
	return func(req *http.Request) { req.Header.Set("Authorization", "Bearer "+secret) }
}

// A token, with the cookies made with it, has so many event streams open and no more; so has
// an organisation, whatever its tokens. A stream that ends makes room, and what one
// organisation has open is in nobody else's way.
func TestEventStreamLimits(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{Env: map[string]string{
		"SALLYPORT_LIMITS_EVENT_STREAMS_PER_TOKEN": "2", "SALLYPORT_LIMITS_EVENT_STREAMS": "3",
	}})
	h, other := newHome(t, s, "a"), newHome(t, s, "b")
	ofOrg, ofWorkspace := "/orgs/"+h.ID+"/events", "/workspaces/"+h.ws.ID+"/events"
	mustOpen := func(what, path string, as func(*http.Request)) func() {
		t.Helper()
		closeIt, refused := streamOf(t, s, path, as)
		if closeIt == nil {
			t.Fatalf("%s: %d %s", what, refused.Status, refused.Body)
		}
		return closeIt
	}
	mustRefuse := func(what, path string, as func(*http.Request)) {
		t.Helper()
		if closeIt, refused := streamOf(t, s, path, as); closeIt == nil {
			want429(t, what, refused, "too_many_streams")
		} else {
			t.Errorf("%s: opened", what)
		}
	}
	cookie := openSession(t, s, h.token)
	asCookie := func(req *http.Request) { withCookie(req, cookie) }
	first := mustOpen("first", ofOrg, withToken(h.token))
	mustOpen("by cookie", ofWorkspace, asCookie)
	mustRefuse("the token's third", ofOrg, withToken(h.token))
	mustRefuse("the cookie's second", ofWorkspace, asCookie)
	_, resp, err := websocket.Dial(t.Context(), s.URL+ofOrg, &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + h.token}}})
	if err == nil || resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("over a WebSocket: %v, %v", resp, err)
	}

	second := newToken(t, s, "/workspaces/"+h.ws.ID, sallyport.ScopeAuditRead).Secret
	mustOpen("another token's", ofWorkspace, withToken(second))
	mustRefuse("the organisation's fourth", ofWorkspace, withToken(second))
	mustOpen("another organisation's", "/orgs/"+other.ID+"/events", withToken(other.token))
	mustOpen("the admin's", ofOrg, withToken(s.AdminToken))
	blind := newToken(t, s, "/orgs/"+h.ID, sallyport.ScopeExec).Secret
	if _, refused := streamOf(t, s, ofOrg, withToken(blind)); refused.Status != http.StatusForbidden {
		t.Errorf("scope, limit: %d %s", refused.Status, refused.Body)
	}
	wantAnswer(t, "others of its requests", s.Do(t, http.MethodGet, "/session", h.token, ""), 200, "")

	first()
	await(t, "room", func() bool {
		closeIt, _ := streamOf(t, s, ofWorkspace, withToken(second))
		return closeIt != nil
	})
}
