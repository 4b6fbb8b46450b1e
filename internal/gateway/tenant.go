package gateway

import (
	"context"
	"errors"

	"sallyport/client/sallyport"
	"sallyport/internal/field"
	"sallyport/internal/id"
	"sallyport/internal/principal"
	"sallyport/internal/store"
)

// ServesOrg returns not_found if this server is for one organisation alone and a request
// names another, by id or name.
func (g *Gateway) ServesOrg(ctx context.Context, named []string) error {
	if g.OnlyOrg == "" {
		return nil
	}
	known := "" // one name may be there a thousand times
	for _, ref := range named {
		if ref == "" || ref == known || ref == g.OnlyOrg {
			continue
		}
		if id.Is(ref) || !field.IsRef(ref) {
			return elsewhere()
		}
		org, err := g.Orgs.Org(ctx, ref)
		switch {
		case errors.Is(err, store.ErrNotFound), err == nil && org.ID != g.OnlyOrg:
			return elsewhere()
		case err != nil:
			return unavailable(err)
		}
		known = ref
	}
	return nil
}

// Serves returns not_found if this server is for one organisation alone and p is neither
// of that organisation nor the admin.
func (g *Gateway) Serves(p principal.Principal) error {
	if g.OnlyOrg == "" || p.Kind == principal.Admin || p.OrgID == g.OnlyOrg {
		return nil
	}
	return elsewhere()
}

// elsewhere is the answer to a request for another organisation: that of a path that
// doesn't exist.
func elsewhere() error { return sallyport.Errorf(sallyport.CodeNotFound, "no such route") }
