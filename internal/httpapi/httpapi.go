// Package httpapi is the HTTP way in: it decodes, asks the gateway, and encodes.
// No rule of the business lives here.
package httpapi

import (
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/access"
	"sallyport/internal/administration"
	"sallyport/internal/fairqueue"
	"sallyport/internal/gateway"
	"sallyport/internal/id"
	"sallyport/internal/identity"
	"sallyport/internal/limits"
	"sallyport/internal/openapi"
	"sallyport/internal/principal"
	"sallyport/internal/quota"
	"sallyport/internal/redact"
)

// API answers HTTP requests. Its fields are set before Handler is called.
type API struct {
	Access         *access.Access
	Administration *administration.Administration
	Gateway        *gateway.Gateway
	Auth           *identity.Authenticator
	// Turns shares out requests that act on no machine between organisations; nil has no
	// bound.
	Turns *fairqueue.Queue
	// Ready tells why the server can't serve now; nil when it can.
	Ready func(*http.Request) error
	// Degraded tells that it serves, but slower or later than it should; nil never.
	Degraded func() bool
	Log      *slog.Logger
	// Watch is told of each request.
	Watch Watch
	// Metrics answers GET /metrics, or returns why it doesn't before it has begun to.
	// It is nil where the metrics have a listener of their own.
	Metrics func(http.ResponseWriter, *http.Request) error
	// Memory is what may wait in memory for callers; nil is any.
	Memory *quota.Memory
	// OpenRequests is how many requests may be open at once, of which an organisation has a
	// share; 0 is any number.
	OpenRequests int
	// Times bounds how long callers may take.
	Times Times
	// LoopbackOnly refuses requests without a Bearer token whose Host is not
	// loopback: a page that has rebound its name to this machine. With one, public
	// routes too want it to be good: a page can make a token up.
	LoopbackOnly bool
	// TrustedProxies are the addresses whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix

	// Version is the program's, for the documentation.
	Version string

	open openRequests
	// files makes what the first who reads the documentation needs.
	files func() (openapi.Files, error)
}

// Handler returns the handler of every route.
func (a *API) Handler() http.Handler {
	a.files = sync.OnceValues(func() (openapi.Files, error) { return openapi.Load(a.Version) })
	byPattern := map[string]map[string]route{}
	for _, r := range routes() {
		if byPattern[r.pattern] == nil {
			byPattern[r.pattern] = map[string]route{}
		}
		byPattern[r.pattern][r.method] = r
	}
	mux := http.NewServeMux()
	for pattern, methods := range byPattern {
		mux.Handle(pattern, a.endpoint(methods))
	}
	mux.Handle("/", a.endpoint(nil))
	return a.front(mux)
}

// front is what every request passes first: a clean path (the mux would redirect
// others), no page of another site, and in dev no name that isn't loopback's.
func (a *API) front(mux http.Handler) http.Handler {
	sameSite := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TransferEncoding) > 0 && r.ProtoMajor == 1 {
			// It may have come with a length too, which net/http drops: what stands
			// behind such a request is not to be taken for another (RFC 9112, section 6.1).
			w.Header().Set("Connection", "close")
		}
		var err error
		switch {
		case !isClean(r.URL.Path):
			err = noRoute()
		case a.LoopbackOnly && r.Header.Get("Authorization") == "" && !isLoopbackHost(r.Host):
			err = misdirected()
		case sameSite.Check(r) != nil:
			err = crossOrigin()
		default:
			mux.ServeHTTP(w, r)
			return
		}
		a.newCall(w, r, nil).run(func() error { return err })
	})
}

// endpoint answers one path. It authenticates the caller, then finds the method: a caller who
// isn't authenticated learns nothing about which paths exist.
func (a *API) endpoint(methods map[string]route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := a.newCall(w, r, methods)
		c.run(c.serve)
	})
}

func (a *API) newCall(w http.ResponseWriter, r *http.Request, methods map[string]route) *call {
	c := &call{api: a, w: &recorder{ResponseWriter: w}, r: r, methods: methods, requestID: id.New(), held: a.Memory.Hold()}
	h := w.Header()
	h.Set(sallyport.HeaderRequestID, c.requestID)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	return c
}

// run answers the call with what handle says, survives its panic, and logs it.
func (c *call) run(handle func() error) {
	began := time.Now()
	c.began()
	defer func() {
		took := time.Since(began)
		c.log(took)
		c.answered(took)
	}()
	defer c.recoverPanic()
	defer c.limitUnread()
	defer c.leave()
	defer c.held.Close()
	defer func() { c.turn.Release() }()
	if err := handle(); err != nil {
		c.fail(err)
	}
}

func (c *call) serve() error {
	route, ok := c.methods[getFor(c.r.Method)]
	c.route = route
	home := c.wantsHomePage()
	if err := c.admit(route, ok && route.public || home); err != nil {
		return err
	}
	if home {
		return c.redirectToDocs()
	}
	if ok && route.public && !route.everywhere {
		if err := c.enter("strangers", c.api.OpenRequests/limits.StrangersShare); err != nil {
			return err
		}
	}
	if ok {
		if route.body == bodyNone {
			c.takeTurn() // a body is read first: its sender may take his time
		}
		return route.handle(c)
	}
	if c.methods == nil {
		return noRoute()
	}
	allowed := slices.Sorted(maps.Keys(c.methods))
	if c.methods[http.MethodGet].handle != nil {
		allowed = append(allowed, http.MethodHead)
	}
	c.w.Header().Set("Allow", strings.Join(allowed, ", "))
	return sallyport.Errorf(sallyport.CodeMethodNotAllowed, "this path doesn't take %.20q", c.r.Method)
}

// admit authenticates the caller where the route asks for a token, and then checks that
// the server is for the organisation of the caller, and for those that the request names.
// A caller without a token is answered the same, whatever the request names.
func (c *call) admit(route route, isPublic bool) error {
	isRebound := c.api.LoopbackOnly && !isLoopbackHost(c.r.Host)
	named := c.r.Header[sallyport.HeaderOrg]
	switch {
	case isPublic && isRebound:
		if c.authenticate() != nil {
			return misdirected()
		}
	case isPublic && (route.everywhere || c.api.Access.OnlyOrg == ""):
		return nil
	case isPublic && strings.Join(named, "") == "":
		// A token that is no good opens nothing here, and closes nothing.
		if c.identify() != nil {
			c.by = gateway.Caller{}
			return nil
		}
		return c.api.Access.Serves(c.by.Principal)
	default:
		if err := c.authenticate(); err != nil {
			return err
		}
	}
	return c.api.Access.ServesOrg(c.r.Context(), named)
}

// authenticate finds the caller by the token, or without one by the cookie, and admits the
// request: within its rates, and within the organisation's open requests.
func (c *call) authenticate() error {
	if err := c.identify(); err != nil {
		return err
	}
	if err := c.takeRequest(); err != nil {
		return err
	}
	if c.by.OrgID != "" { // the admin must get through whatever others do
		if err := c.enter(c.by.OrgID, c.api.OpenRequests/limits.OpenRequestsShare); err != nil {
			return err
		}
	}
	return c.api.Access.Serves(c.by.Principal)
}

// identify authenticates the caller by what the store says now.
func (c *call) identify() error {
	c.authenticatedAt = time.Now()
	epoch := c.api.Gateway.RevocationEpoch()
	ctx, tokens := c.r.Context(), c.r.Header["Authorization"]
	var who principal.Principal
	var err error
	if cookies := c.sessionCookies(); len(tokens) == 0 && len(cookies) == 1 {
		c.byCookie = true
		who, err = c.api.Auth.AuthenticateCookie(ctx, cookies[0])
		if err == nil && !isOwnPage(c.r) {
			err = crossOrigin()
		}
	} else {
		who, err = c.api.Auth.Authenticate(ctx, tokens)
	}
	if err != nil {
		return err
	}
	c.by = gateway.Caller{Principal: who, Addr: c.api.clientAddr(c.r), RevocationEpoch: epoch}
	return nil
}

// authenticateAgain repeats the authentication of a caller whose body took long to arrive: a
// token may have been revoked meanwhile, also where no notice of it has come.
func (c *call) authenticateAgain() error {
	if c.api.Gateway.RevocationEpoch() == c.by.RevocationEpoch && time.Since(c.authenticatedAt) < limits.AuthCacheTime {
		return nil
	}
	return c.identify()
}

// cut ends an answer that has begun, and can't be what it began as: net/http closes the
// connection, so that the caller sees that the end is missing.
func (c *call) cut(err error) {
	c.cause = err
	panic(http.ErrAbortHandler)
}

// recoverPanic turns a panic of a handler into a 500, or cuts an answer that has
// begun.
func (c *call) recoverPanic() {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	// A panic's text may hold what a caller sent; where it happened does not.
	c.api.Log.Error("panic", "request_id", c.requestID, "stack", string(debug.Stack()))
	if c.w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	c.fail(errPanic)
}

func (c *call) log(took time.Duration) {
	args := []any{
		"request_id", c.requestID, "method", loggedText(c.r.Method), "path", loggedPath(c.r), "status", c.w.status,
		"bytes", c.w.bytes, "ms", took.Milliseconds(), "client", c.api.clientAddr(c.r), "actor", c.by.Actor(),
	}
	if c.execID != "" {
		args = append(args, "exec_id", c.execID)
	}
	if c.traceID != "" {
		args = append(args, "trace_id", c.traceID)
	}
	level := slog.LevelInfo
	if c.cause != nil {
		args = append(args, "code", string(sallyport.CodeOf(c.cause)), "cause", loggedText(c.cause.Error()))
		if c.w.status >= 500 {
			level = slog.LevelWarn
		}
	}
	c.api.Log.Log(c.r.Context(), level, "request", args...)
}

// loggedPath is a request's path without its query, masked: callers put tokens in
// the strangest places, and escaped.
func loggedPath(r *http.Request) string {
	const charsMax = 200
	p := loggedText(r.URL.Path)
	if len(p) > charsMax {
		p = p[:charsMax] + "…"
	}
	return p
}

// loggedText is text that may be a caller's, or a machine's, masked, and escaped:
// as JSON the log would show marks of writing direction as they are.
func loggedText(s string) string { return redact.Escape(redact.Text(s)) }

// clientAddr is where the request came from: what a trusted proxy says, else the
// connection's peer.
func (a *API) clientAddr(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	hops := elements(r.Header["X-Forwarded-For"])
	for i := len(hops) - 1; i >= 0 && a.trusts(host); i-- {
		hop, err := netip.ParseAddr(hops[i])
		if err != nil {
			break
		}
		host = hop.String()
	}
	return host
}

func (a *API) trusts(host string) bool {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	for _, p := range a.TrustedProxies {
		if p.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}

// isClean tells whether a path is as the mux has it: it would redirect others.
func isClean(p string) bool {
	if p == "" || p[0] != '/' {
		return false // also * and what CONNECT asks for
	}
	clean := path.Clean(p)
	return p == clean || clean != "/" && p == clean+"/"
}

func isLoopbackHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

func misdirected() error {
	return sallyport.Errorf(sallyport.CodeMisdirectedRequest, "this server answers on loopback names alone")
}

func crossOrigin() error {
	return sallyport.Errorf(sallyport.CodeCrossOrigin, "a page of another site may not do this")
}

func noRoute() error {
	return sallyport.Errorf(sallyport.CodeNotFound, "no such route")
}
