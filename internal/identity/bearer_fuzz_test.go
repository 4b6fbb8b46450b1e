package identity_test

import (
	"strings"
	"testing"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/identity"
	"sallyport/internal/principal"
	"sallyport/internal/store"
)

// FuzzAuthenticate: whatever stands in the header, it proves somebody only when the
// whole secret stands in it, behind the scheme and nothing else; all else is refused
// alike.
func FuzzAuthenticate(f *testing.F) {
	d := newDesk(f)
	admin, org := identity.Mint(principal.Admin), identity.Mint(principal.Org)
	d.Admin = &admin.Hash
	must(f, d.db.CreateToken(f.Context(), store.Token{
		ID: id.New(), OrgID: d.org, Name: "t", Prefix: org.Prefix, Hash: org.Hash, Scopes: sallyport.AllScopes(), CreatedAt: now,
	}, 0, d.row()))
	// The secrets are new each time, and kept inputs are not: words stand for them.
	secrets := strings.NewReplacer("ORG", org.Secret, "ADMIN", admin.Secret)
	for _, s := range []string{
		"", "Bearer ORG", "bearer ORG", "BEARER  ORG ", "Bearer ADMIN", "Bearer\tORG", "Bearer ORG ORG", "Bearer ORG,", "ORG", "Basic ORG", "Bearer", "Bearer ", "Bearer ORGx",
		"Bearer \"ORG\"", " Bearer ORG", "Bearer ORG\x00", "Bearer ORG\n", "Bearer=ORG", "BearerORG", "Bearer \u00a0ORG", "Bearer sp_org_", "Béarer ORG", "ſearer ORG", "Bearer ADMINORG",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		value := secrets.Replace(header)
		scheme, rest, _ := strings.Cut(value, " ")
		token := strings.Trim(rest, " ")
		isBearer := len(scheme) == len("Bearer") && strings.ToLower(scheme) == "bearer"
		who, err := d.Authenticate(t.Context(), []string{value})
		switch {
		case isBearer && token == org.Secret:
			if err != nil || who.Kind != principal.Org || who.OrgID != d.org {
				t.Errorf("%q: %+v, %v", header, who, err)
			}
		case isBearer && token == admin.Secret:
			if err != nil || who.Kind != principal.Admin {
				t.Errorf("%q: %+v, %v", header, who, err)
			}
		case err == nil || err.Error() != identity.Unauthenticated().Error():
			t.Errorf("%q: %+v, %v", header, who, err)
		}
		if _, err := d.Authenticate(t.Context(), []string{value, value}); err == nil {
			t.Errorf("%q: taken twice", header)
		}
	})
}
