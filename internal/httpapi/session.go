package httpapi

import (
	"net"
	"net/http"
	"strings"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/identity"
	"sallyport/internal/principal"
)

// The session's cookie. Over TLS its name binds it to this host and to TLS, so that no
// neighbour can set it (RFC 6265bis, section 4.1.3.2).
const (
	cookieName    = "sallyport_session"
	tlsCookieName = "__Host-" + cookieName
)

// session is GET /session: who the caller is.
func (c *call) session() error {
	c.answer(http.StatusOK, wireSession(c.by.Principal))
	return nil
}

// openSession is POST /session: a cookie that acts as the token.
func (c *call) openSession() error {
	if c.byCookie {
		return identity.Unauthenticated() // a cookie doesn't prolong itself
	}
	if err := c.noBody(); err != nil {
		return err
	}
	value, who, err := c.api.Auth.OpenSession(c.r.Context(), c.r.Header["Authorization"])
	if err != nil {
		return err
	}
	cookie := c.cookie(value)
	cookie.Expires = who.ExpiresAt
	cookie.MaxAge = max(1, int(time.Until(who.ExpiresAt)/time.Second))
	http.SetCookie(c.w, cookie)
	c.answer(http.StatusCreated, wireSession(who))
	return nil
}

// closeSession is DELETE /session: it ends the session of the cookie.
func (c *call) closeSession() error {
	for _, value := range c.sessionCookies() {
		hash, err := c.api.Auth.CloseSession(c.r.Context(), value)
		if err != nil {
			return err
		}
		c.api.Gateway.EndSession(c.r.Context(), hash)
	}
	cookie := c.cookie("")
	cookie.MaxAge = -1
	http.SetCookie(c.w, cookie)
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func wireSession(who principal.Principal) sallyport.Session {
	return sallyport.Session{Actor: who.Actor(), OrgID: who.OrgID, WorkspaceID: who.WorkspaceID, Scopes: who.Scopes}
}

func (c *call) cookie(value string) *http.Cookie {
	cookie := &http.Cookie{Name: cookieName, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode}
	if c.overTLS() {
		cookie.Name, cookie.Secure = tlsCookieName, true
	}
	return cookie
}

// sessionCookies are the values of the session's cookie. A browser has one; two are from
// somebody who meddles.
func (c *call) sessionCookies() []string {
	name := cookieName
	if c.overTLS() {
		name = tlsCookieName
	}
	var values []string
	for _, cookie := range c.r.CookiesNamed(name) {
		values = append(values, cookie.Value)
	}
	return values
}

// overTLS tells whether the browser speaks TLS, with us or with a trusted proxy.
func (c *call) overTLS() bool {
	if c.r.TLS != nil {
		return true
	}
	host, _, err := net.SplitHostPort(c.r.RemoteAddr)
	proto := c.r.Header["X-Forwarded-Proto"]
	return err == nil && len(proto) == 1 && strings.EqualFold(proto[0], "https") && c.api.trusts(host)
}

// isOwnPage tells whether no page but one of this server's own origin asks: SameSite
// takes another port of the same host for the same site.
func isOwnPage(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return isSameOrigin(r)
	}
	return false
}

// healthz is GET /healthz: the process is alive.
func (c *call) healthz() error {
	c.answer(http.StatusOK, map[string]string{"status": "ok"})
	return nil
}

// readyz is GET /readyz: the server can serve.
func (c *call) readyz() error {
	if err := c.api.Ready(c.r); err != nil {
		return err
	}
	status := "ready"
	if c.api.Degraded != nil && c.api.Degraded() {
		status = "degraded"
	}
	c.answer(http.StatusOK, map[string]string{"status": status})
	return nil
}
