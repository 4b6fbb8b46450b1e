package gateway

import (
	"context"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/access"
	"sallyport/internal/quota"
)

// TakeRequest counts a request against the rate of its token and against that of its
// organisation. It returns where the caller stands with the rate that is nearer to its end,
// zero for a caller without one, and rate_limited when either is used up. The admin's token
// has a bucket of its own, which no tenant's requests empty.
func (g *Gateway) TakeRequest(ctx context.Context, by Caller) (quota.Standing, error) {
	if g.Access.Limits == nil {
		return quota.Standing{}, nil
	}
	inForce, err := g.Access.Limits.Of(ctx, by.OrgID)
	if err != nil {
		return quota.Standing{}, access.Unavailable(err)
	}
	standing, ok := g.Rates.Take(by.TokenID, quota.Rate{PerS: inForce.RequestsPerS, Burst: inForce.RequestBurst})
	if !ok {
		return standing, rateLimited(standing, "the token makes", "")
	}
	if by.OrgID == "" {
		return standing, nil
	}
	ofOrg, ok := g.Rates.Take(by.OrgID, quota.Rate{PerS: inForce.OrgRequestsPerS, Burst: inForce.OrgRequestBurst})
	if !ok {
		return ofOrg, rateLimited(ofOrg, "the organisation's tokens together make", sallyport.ReasonOrganisation)
	}
	return standing.Nearer(ofOrg), nil
}

func rateLimited(at quota.Standing, whose, reason string) *sallyport.Error {
	limited := sallyport.Errorf(sallyport.CodeRateLimited, "%s more than %d requests a second; try again in a moment", whose, at.Rate.PerS)
	limited.Reason, limited.RetryAfter = reason, wholeSeconds(at.Next)
	return limited
}

// wholeSeconds rounds up, to a second at least.
func wholeSeconds(d time.Duration) time.Duration {
	return max(time.Second, (d + time.Second - 1).Truncate(time.Second))
}
