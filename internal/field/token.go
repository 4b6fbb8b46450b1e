package field

import (
	"slices"

	"sallyport/client/sallyport"
)

// tokenMaxS bounds a token's life so that its end is a time: a hundred years.
const tokenMaxS = 100 * 365 * 24 * 3600

// CheckToken returns invalid_name, invalid_scopes or invalid_expiry.
func CheckToken(req sallyport.TokenCreate) error {
	if err := checkTokenName(req.Name); err != nil {
		return err
	}
	for _, s := range req.Scopes {
		if !slices.Contains(sallyport.AllScopes(), s) {
			return sallyport.Errorf(sallyport.CodeInvalidScopes, "unknown scope %q; there are %v", s, sallyport.AllScopes())
		}
	}
	if req.ExpiresInS < 0 || req.ExpiresInS > tokenMaxS {
		return sallyport.Errorf(sallyport.CodeInvalidExpiry, "expires_in_s must be 1 to %d seconds, or left out for a token that lives for ever", int64(tokenMaxS))
	}
	return nil
}
