package access

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
func (a *Access) ServesOrg(ctx context.Context, named []string) error {
	if a.OnlyOrg == "" {
		return nil
	}
	known := "" // one name may be there a thousand times
	for _, ref := range named {
		if ref == "" || ref == known || ref == a.OnlyOrg {
			continue
		}
		if id.Is(ref) || !field.IsRef(ref) {
			return elsewhere()
		}
		org, err := a.Orgs.Org(ctx, ref)
		switch {
		case errors.Is(err, store.ErrNotFound), err == nil && org.ID != a.OnlyOrg:
			return elsewhere()
		case err != nil:
			return Unavailable(err)
		}
		known = ref
	}
	return nil
}

// Serves returns not_found if this server is for one organisation alone and p is neither
// of that organisation nor the admin.
func (a *Access) Serves(p principal.Principal) error {
	if a.OnlyOrg == "" || p.Kind == principal.Admin || p.OrgID == a.OnlyOrg {
		return nil
	}
	return elsewhere()
}

// elsewhere is the answer to a request for another organisation: that of a path that
// doesn't exist.
func elsewhere() error { return sallyport.Errorf(sallyport.CodeNotFound, "no such route") }
