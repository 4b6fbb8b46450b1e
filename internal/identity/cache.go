package identity

import (
	"context"
	"sync"
	"time"

	"sallyport/internal/limits"
	"sallyport/internal/store"
)

// authCache holds the tokens that were looked up a moment ago.
type authCache struct {
	mu sync.Mutex // guards the fields below
	// cleared counts the calls of clear, so that a token that was read before one is not
	// cached after it.
	cleared int
	tokens  map[[32]byte]cachedToken
}

// cachedToken is a token as it was at a time.
type cachedToken struct {
	token store.Token
	at    time.Time
}

// ClearCache drops all cached tokens: one was revoked. The next look-up of each asks the
// store.
func (a *Authenticator) ClearCache() { a.cache.clear() }

func (c *authCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cleared++
	clear(c.tokens)
}

// look returns the token with this hash as it was less than life ago, or else as the
// store has it.
func (c *authCache) look(ctx context.Context, st Store, hash [32]byte, life time.Duration) (store.Token, error) {
	began := time.Now()
	c.mu.Lock()
	known, ok := c.tokens[hash]
	cleared := c.cleared
	c.mu.Unlock()
	if ok && began.Sub(known.at) < life {
		return known.token, nil
	}
	token, err := st.TokenByHash(ctx, hash)
	if err != nil || life <= 0 {
		return token, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cleared == cleared {
		if c.tokens == nil || len(c.tokens) >= limits.AuthCacheMax {
			c.tokens = map[[32]byte]cachedToken{}
		}
		c.tokens[hash] = cachedToken{token: token, at: began}
	}
	return token, nil
}
