package gateway

import (
	"context"
	"time"

	"sallyport"
	"sallyport/internal/quota"
)

// TakeRequest counts a request of by's token, and returns where that stands with its rate;
// zero is for a token without one. It returns rate_limited where the rate doesn't let it.
// The admin's token has a bucket of its own, which no tenant's requests empty.
func (g *Gateway) TakeRequest(ctx context.Context, by Caller) (quota.Standing, error) {
	if g.Limits == nil {
		return quota.Standing{}, nil
	}
	inForce, err := g.Limits.Of(ctx, by.OrgID)
	if err != nil {
		return quota.Standing{}, unavailable(err)
	}
	standing, ok := g.Rates.Take(by.TokenID, quota.Rate{PerS: inForce.RequestsPerS, Burst: inForce.RequestBurst})
	if ok {
		return standing, nil
	}
	limited := sallyport.Errorf(sallyport.CodeRateLimited,
		"the token makes more than %d requests a second; try again in a moment", standing.Rate.PerS)
	limited.RetryAfter = wholeSeconds(standing.Next)
	return standing, limited
}

// wholeSeconds rounds up, to a second at least.
func wholeSeconds(d time.Duration) time.Duration {
	return max(time.Second, (d + time.Second - 1).Truncate(time.Second))
}
