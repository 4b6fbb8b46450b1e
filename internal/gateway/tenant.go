package gateway

import (
	"context"
	"errors"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/principal"
	"sallyport/internal/store"
)

// ServesOrg says whether a request that names organisations, by id or name, is for this
// server: where it is for one organisation alone, they must be that one. It returns
// not_found.
func (g *Gateway) ServesOrg(ctx context.Context, named []string) error {
	if g.OnlyOrg == "" {
		return nil
	}
	known := "" // one name may be there a thousand times
	for _, ref := range named {
		if ref == "" || ref == known || ref == g.OnlyOrg {
			continue
		}
		if id.Is(ref) || !isRef(ref) {
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

// Serves says whether this server is for p: where it is for one organisation alone, p
// must be of that, or the admin. It returns not_found.
func (g *Gateway) Serves(p principal.Principal) error {
	if g.OnlyOrg == "" || p.Kind == principal.Admin || p.OrgID == g.OnlyOrg {
		return nil
	}
	return elsewhere()
}

// elsewhere is what a path is that there isn't.
func elsewhere() error { return sallyport.Errorf(sallyport.CodeNotFound, "no such route") }
