package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/internal/limits"
	"sallyport/internal/principal"
	"sallyport/internal/store"
)

// OpenSession makes a session that acts as the token in the Authorization headers. It
// returns the value of its cookie, and the principal, whose ExpiresAt is the end of the
// session: limits.SessionLife from now, or the end of the token. Its errors are those of
// Authenticate.
func (a *Authenticator) OpenSession(ctx context.Context, authorization []string) (cookie string, who principal.Principal, err error) {
	who, err = a.Authenticate(ctx, authorization)
	if err != nil {
		return "", who, err
	}
	token, _ := bearer(authorization)
	now := a.now()
	who.ExpiresAt = sooner(now.Add(limits.SessionLife), who.ExpiresAt)
	minted := mint(sessionWord)
	s := store.Session{Hash: minted.Hash, TokenHash: Hash(token), ExpiresAt: who.ExpiresAt}
	if err := a.Store.CreateSession(ctx, s, now, limits.SessionsPerToken); err != nil {
		return "", principal.Principal{}, unavailable(fmt.Errorf("keep session: %w", err))
	}
	return minted.Secret, who, nil
}

// AuthenticateCookie returns the principal of the token for which the cookie stands; its
// ExpiresAt is the end of the session. Its errors are those of Authenticate.
func (a *Authenticator) AuthenticateCookie(ctx context.Context, cookie string) (principal.Principal, error) {
	if !wellFormed(cookie, sessionWord) {
		return principal.Principal{}, Unauthenticated()
	}
	s, err := a.Store.SessionByHash(ctx, Hash(cookie))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return principal.Principal{}, Unauthenticated()
	case err != nil:
		return principal.Principal{}, unavailable(fmt.Errorf("look up session: %w", err))
	case !a.now().Before(s.ExpiresAt):
		return principal.Principal{}, Unauthenticated()
	}
	who := admin()
	if !a.isAdmin(s.TokenHash) {
		if who, err = a.holder(ctx, s.TokenHash); err != nil {
			return who, err
		}
	}
	who.Session, who.ExpiresAt = s.Hash, sooner(s.ExpiresAt, who.ExpiresAt)
	return who, nil
}

// CloseSession ends the session of a cookie, if it has one, and returns its hash.
func (a *Authenticator) CloseSession(ctx context.Context, cookie string) (hash [32]byte, err error) {
	if !wellFormed(cookie, sessionWord) {
		return hash, nil
	}
	hash = Hash(cookie)
	if err := a.Store.DeleteSession(ctx, hash); err != nil {
		return hash, unavailable(fmt.Errorf("end session: %w", err))
	}
	return hash, nil
}

// sooner returns the earlier of two times; b may be zero, which is never.
func sooner(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}
