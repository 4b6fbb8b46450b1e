package identity

import (
	"context"
	"sync"
	"time"

	"sallyport/internal/limits"
	"sallyport/internal/store"
)

// proofs are the tokens that were looked up a moment ago.
type proofs struct {
	mu sync.Mutex // guards what follows
	// forgotten counts the calls of forget, so that what was read before one is not kept
	// after it.
	forgotten int
	tokens    map[[32]byte]proof
}

// proof is a token as it was at a time.
type proof struct {
	token store.Token
	at    time.Time
}

// Forget drops all that was looked up: a token was revoked. What is looked up from then
// on is as the store has it.
func (a *Authenticator) Forget() { a.proofs.forget() }

func (p *proofs) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forgotten++
	clear(p.tokens)
}

// look returns the token with this hash as it was less than life ago, or as the store
// has it.
func (p *proofs) look(ctx context.Context, st Store, hash [32]byte, life time.Duration) (store.Token, error) {
	began := time.Now()
	p.mu.Lock()
	known, ok := p.tokens[hash]
	forgotten := p.forgotten
	p.mu.Unlock()
	if ok && began.Sub(known.at) < life {
		return known.token, nil
	}
	token, err := st.TokenByHash(ctx, hash)
	if err != nil || life <= 0 {
		return token, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.forgotten == forgotten {
		if p.tokens == nil || len(p.tokens) >= limits.ProofsMax {
			p.tokens = map[[32]byte]proof{}
		}
		p.tokens[hash] = proof{token: token, at: began}
	}
	return token, nil
}
