// Package identity authenticates callers: it turns a token or a cookie into a principal.
package identity

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
	"sallyport/internal/principal"
	"sallyport/internal/recent"
	"sallyport/internal/store"
)

// Store is the part of the store that the Authenticator needs.
type Store interface {
	// TokenByHash returns the token, revoked or expired ones too, or store.ErrNotFound.
	TokenByHash(ctx context.Context, hash [32]byte) (store.Token, error)
	// SessionByHash returns the session, one that is over too, or store.ErrNotFound.
	SessionByHash(ctx context.Context, hash [32]byte) (store.Session, error)
	// CreateSession keeps no more than most sessions of one token.
	CreateSession(ctx context.Context, s store.Session, now time.Time, most int) error
	DeleteSession(ctx context.Context, hash [32]byte) error
}

// Authenticator authenticates callers. It is safe for concurrent use.
type Authenticator struct {
	Store Store
	// Admin is the hash of the configuration's admin token; nil when there is none.
	Admin *[32]byte
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// AuthCacheTime is how long a token that was looked up is cached; 0 asks the store each
	// time.
	AuthCacheTime time.Duration

	cache recent.Cache[[32]byte, store.Token]
}

// ClearCache drops all cached tokens: one was revoked. The next look-up of each asks the
// store.
func (a *Authenticator) ClearCache() { a.cache.Clear() }

// Authenticate returns the principal whose token the Authorization headers hold. Its
// error is unauthenticated, the same whatever is wrong with the headers or the token, or
// platform_unavailable when the store could not answer: an outage is not an unknown
// token.
func (a *Authenticator) Authenticate(ctx context.Context, authorization []string) (principal.Principal, error) {
	token, ok := bearer(authorization)
	if !ok {
		return principal.Principal{}, Unauthenticated()
	}
	hash := Hash(token)
	if a.isAdmin(hash) {
		return admin(), nil
	}
	if !WellFormed(token) {
		return principal.Principal{}, Unauthenticated()
	}
	return a.holder(ctx, hash)
}

func (a *Authenticator) isAdmin(hash [32]byte) bool {
	return a.Admin != nil && subtle.ConstantTimeCompare(hash[:], a.Admin[:]) == 1
}

func admin() principal.Principal {
	return principal.Principal{Kind: principal.Admin, Scopes: sallyport.AllScopes()}
}

// holder returns the principal of the token with this hash, which is not the admin's.
func (a *Authenticator) holder(ctx context.Context, hash [32]byte) (principal.Principal, error) {
	record, err := a.cache.Look(hash, a.AuthCacheTime, limits.AuthCacheMax, func() (store.Token, error) {
		return a.Store.TokenByHash(ctx, hash)
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return principal.Principal{}, Unauthenticated()
	case err != nil:
		return principal.Principal{}, unavailable(fmt.Errorf("look up token: %w", err))
	case a.dead(record):
		return principal.Principal{}, Unauthenticated()
	}
	return principalOf(record), nil
}

func unavailable(cause error) error {
	return sallyport.Errorf(sallyport.CodePlatformUnavailable,
		"the store can't be asked who you are; try again in a moment").Because(cause)
}

func (a *Authenticator) dead(t store.Token) bool {
	return !t.RevokedAt.IsZero() || (!t.ExpiresAt.IsZero() && !a.now().Before(t.ExpiresAt))
}

func (a *Authenticator) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}

func principalOf(t store.Token) principal.Principal {
	p := principal.Principal{Kind: principal.Org, OrgID: t.OrgID, TokenID: t.ID, Prefix: t.Prefix, Scopes: t.Scopes, ExpiresAt: t.ExpiresAt, TokenExpiresAt: t.ExpiresAt}
	if t.WorkspaceID != "" {
		p.Kind, p.WorkspaceID = principal.Workspace, t.WorkspaceID
	}
	return p
}

// bearer reads a Bearer token (RFC 6750): the scheme in any case, one header.
func bearer(authorization []string) (string, bool) {
	if len(authorization) != 1 {
		return "", false
	}
	scheme, token, ok := strings.Cut(authorization[0], " ")
	token = strings.Trim(token, " ")
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != ""
}

// AdminHash checks an admin token from the configuration and returns its hash:
// any string of at least 32 visible ASCII characters, and one that says it is a
// token of ours must have its checksum.
func AdminHash(token string) ([32]byte, error) {
	for _, c := range []byte(token) {
		if c <= ' ' || c > '~' {
			return [32]byte{}, errors.New("admin_token: only visible ASCII characters are allowed")
		}
	}
	switch {
	case len(token) < 32:
		return [32]byte{}, fmt.Errorf("admin_token: %d characters are too few, it takes at least 32", len(token))
	case Claims(token) && !WellFormed(token):
		return [32]byte{}, errors.New("admin_token: it begins with sp_, but its checksum is wrong: a character was lost or mistyped")
	}
	return Hash(token), nil
}

// Unauthenticated is the one answer to a caller who is not authenticated, whatever was
// wrong.
func Unauthenticated() error {
	return sallyport.Errorf(sallyport.CodeUnauthenticated, "a valid token is needed: Authorization: Bearer TOKEN")
}
