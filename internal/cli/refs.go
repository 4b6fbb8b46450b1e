package cli

import (
	"context"
	"iter"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/client"
	"sallyport/client/sallyport"
)

const (
	idChars = len("01980000-0000-7000-8000-000000000000")
	// idPrefixCharsMin is the least of an id that names it.
	idPrefixCharsMin = 4
	// tokenPrefixCharsMin is the least of a token's prefix that names it: what every
	// token begins with names none.
	tokenPrefixCharsMin = len("sp_org_x")
)

// isIDPrefix tells whether ref can be the beginning of an id, and isn't a whole one.
func isIDPrefix(ref string) bool {
	return len(ref) >= idPrefixCharsMin && len(ref) < idChars && looksLikeID(ref)
}

// looksLikeID tells whether ref is an id as far as it goes.
func looksLikeID(ref string) bool {
	for i := range len(ref) {
		isDash := i == 8 || i == 13 || i == 18 || i == 23
		if isDash != (ref[i] == '-') || !isDash && !strings.Contains("0123456789abcdef", ref[i:i+1]) {
			return false
		}
	}
	return len(ref) <= idChars
}

// uniqueRef returns the id of the only item that matches; ref itself, for the server to
// refuse, where there is none.
func uniqueRef[T any](what, ref string, items iter.Seq2[T, error], matches func(T) bool, id func(T) string) (string, error) {
	found := ""
	for item, err := range items {
		switch {
		case err != nil:
			return "", err
		case !matches(item):
		case found != "":
			return "", usagef("give more of its id: "+found+", "+id(item)+", …", "%q names more than one %s", ref, what)
		default:
			found = id(item)
		}
	}
	if found == "" {
		return ref, nil
	}
	return found, nil
}

// workspaceRef returns what the server knows a workspace by: a name or an id as they are,
// and for a unique prefix of an id the id. A name goes before a prefix.
func (a *app) workspaceRef(ctx context.Context, c *client.Client, ref string) (string, error) {
	a.workspace = ref
	if !isIDPrefix(ref) {
		return ref, nil
	}
	if _, err := c.GetWorkspace(ctx, ref); sallyport.CodeOf(err) != sallyport.CodeWorkspaceNotFound {
		return ref, nil // also what the call itself will then meet
	}
	return uniqueRef("workspace", ref, c.AllWorkspaces(ctx),
		func(w sallyport.Workspace) bool { return strings.HasPrefix(w.ID, ref) }, func(w sallyport.Workspace) string { return w.ID })
}

// orgRef is workspaceRef for an organisation.
func orgRef(ctx context.Context, c *client.Client, ref string) (string, error) {
	if !isIDPrefix(ref) {
		return ref, nil
	}
	if _, err := c.GetOrg(ctx, ref); sallyport.CodeOf(err) != sallyport.CodeNotFound {
		return ref, nil
	}
	return uniqueRef("organisation", ref, c.AllOrgs(ctx),
		func(o sallyport.Org) bool { return strings.HasPrefix(o.ID, ref) }, func(o sallyport.Org) string { return o.ID })
}

// tokenRef returns the id of a token that is named by it, a unique prefix of it, the
// token's name, or its prefix.
func tokenRef(ctx context.Context, c *client.Client, owner client.Owner, ref string) (string, error) {
	if len(ref) == idChars && looksLikeID(ref) {
		return ref, nil
	}
	matches := func(t sallyport.Token) bool {
		return t.Name == ref || isIDPrefix(ref) && strings.HasPrefix(t.ID, ref) ||
			len(ref) >= tokenPrefixCharsMin && strings.HasPrefix(t.Prefix, ref)
	}
	id, err := uniqueRef("token", ref, c.AllTokens(ctx, owner), matches, func(t sallyport.Token) string { return t.ID })
	if err == nil && id == ref {
		// What isn't known may be the secret itself, and isn't repeated.
		return "", &hintedError{errNoToken, "sallyport tokens list shows their names, prefixes and ids; --workspace those of a workspace"}
	}
	return id, err
}

// ownerRef finds the workspace that an owner names.
func (a *app) ownerRef(ctx context.Context, c *client.Client, owner *client.Owner) (err error) {
	if owner.Workspace != "" {
		owner.Workspace, err = a.workspaceRef(ctx, c, owner.Workspace)
	}
	return err
}

// findOrg finds the organisation that --org names by a prefix of its id, before any
// command runs.
func (a *app) findOrg(cmd *cobra.Command, _ []string) error {
	if !isIDPrefix(a.flags.org) {
		return nil
	}
	c, err := a.newClient(true)
	if err != nil {
		return nil // the command itself says so, if it needs one
	}
	defer c.Close()
	org := a.flags.org
	if a.flags.org, err = orgRef(cmd.Context(), c, org); sallyport.CodeOf(err) == sallyport.CodeScopeForbidden {
		a.flags.org, err = org, nil
	}
	return err
}
