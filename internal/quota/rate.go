package quota

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"sallyport/internal/limits"
)

// Rate is how many requests one token, or one organisation, may make. PerS 0 is as many as
// it likes.
type Rate struct {
	PerS  int `json:"per_s"`
	Burst int `json:"burst"`
}

// Standing is where a token, or an organisation, stands with its rate.
type Standing struct {
	Rate Rate
	// Remaining is how many requests may come at once now.
	Remaining int
	// Full is how long until Rate.Burst are, and Next until one is; 0 where they are.
	Full, Next time.Duration
}

// Nearer returns that of two standings which has fewer requests left. One without a rate has
// any number left.
func (s Standing) Nearer(other Standing) Standing {
	if s.Rate.PerS <= 0 || other.Rate.PerS > 0 && other.Remaining < s.Remaining {
		return other
	}
	return s
}

// Usage is the number of requests granted to one token by one replica.
type Usage struct {
	Token    string `json:"token"`
	Rate     Rate   `json:"rate"`
	Requests int    `json:"requests"`
}

// Rates holds a bucket for each token and each organisation, by its id: Burst requests, refilled at PerS. A
// bucket that is full again is forgotten. The zero value is ready; it is safe for
// concurrent use.
//
// Each replica has its own, and grants by what it knows: that is exact for a token whose
// requests one replica takes. Where several do, they tell each other what they have granted
// (Taken, Charge). A token that goes to n replicas at once may then have, in the first
// moment, n bursts in the place of one, and after that is over its rate by no more than
// what n-1 others grant in the time between two tellings. What it was granted too much is
// a debt, up to a burst, that it pays back before it is granted more.
type Rates struct {
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	mu      sync.Mutex // guards the fields below
	buckets map[string]*bucket
	taken   map[string]int // granted since Taken, by token
	sweepAt int            // how many buckets there may be before full ones are looked for
}

type bucket struct {
	*rate.Limiter
	rate Rate
}

// Take grants a token one request, if its rate lets it.
func (r *Rates) Take(token string, by Rate) (Standing, bool) {
	if by.PerS <= 0 {
		return Standing{}, true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	b := r.bucket(token, by, now)
	b.turn(by, now)
	ok := b.AllowN(now, 1)
	if ok {
		r.taken[token]++
	}
	return b.standing(now), ok
}

// Taken returns the requests granted here since the last call.
func (r *Rates) Taken() []Usage {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Usage, 0, len(r.taken))
	for token, n := range r.taken {
		all = append(all, Usage{Token: token, Rate: r.buckets[token].rate, Requests: n})
	}
	clear(r.taken)
	return all
}

// Charge subtracts the requests that another replica has granted.
func (r *Rates) Charge(u Usage) {
	if u.Rate.PerS <= 0 || u.Rate.Burst <= 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	r.bucket(u.Token, u.Rate, now).charge(u.Requests, now)
}

// bucket is a token's own, which is full and goes by a rate where there was none. r.mu is held.
func (r *Rates) bucket(token string, by Rate, now time.Time) *bucket {
	if b := r.buckets[token]; b != nil {
		return b
	}
	if r.buckets == nil {
		r.buckets, r.taken, r.sweepAt = map[string]*bucket{}, map[string]int{}, sweepMin
	}
	if len(r.buckets) >= r.sweepAt {
		r.sweep(now)
	}
	b := newBucket(by)
	r.buckets[token] = b
	return b
}

// sweepMin is how many buckets there are before it pays to look for full ones.
const sweepMin = 1024

// sweep forgets full buckets, and any where there are too many that aren't: their tokens
// get a fresh one. r.mu is held.
func (r *Rates) sweep(now time.Time) {
	for token, b := range r.buckets {
		if b.TokensAt(now) >= float64(b.rate.Burst) {
			r.forget(token)
		}
	}
	for token := range r.buckets {
		if len(r.buckets) <= limits.RateBucketsMax/2 {
			break
		}
		r.forget(token)
	}
	r.sweepAt = min(max(2*len(r.buckets), sweepMin), limits.RateBucketsMax)
}

func (r *Rates) forget(token string) {
	delete(r.buckets, token)
	delete(r.taken, token)
}

func (r *Rates) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

func newBucket(by Rate) *bucket {
	return &bucket{rate: by, Limiter: rate.NewLimiter(rate.Limit(by.PerS), by.Burst)}
}

// turn switches to another rate: requests taken from the old bucket are taken from the new.
func (b *bucket) turn(to Rate, now time.Time) {
	if b.rate == to {
		return
	}
	used := float64(b.rate.Burst) - b.TokensAt(now)
	*b = *newBucket(to)
	b.charge(int(math.Ceil(used)), now)
}

// charge takes n off, down to a debt of a burst.
func (b *bucket) charge(n int, now time.Time) {
	most := int(b.TokensAt(now)) + b.rate.Burst
	for n = min(n, most); n > 0; n -= b.rate.Burst {
		b.ReserveN(now, min(n, b.rate.Burst))
	}
}

func (b *bucket) standing(now time.Time) Standing {
	has := b.TokensAt(now)
	until := func(tokens float64) time.Duration {
		return time.Duration(math.Ceil(max(0, tokens-has) / float64(b.rate.PerS) * float64(time.Second)))
	}
	return Standing{Rate: b.rate, Remaining: max(0, int(has)), Full: until(float64(b.rate.Burst)), Next: until(1)}
}
