package cli

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/client"
	"sallyport/client/sallyport"
)

func (a *app) newTokens() *cobra.Command {
	return newGroup(&cobra.Command{
		Use:     "tokens",
		Aliases: []string{"token"},
		Short:   "List, make and revoke tokens",
		Long: `A token is for an organisation, or with --workspace for one workspace alone. Its
scopes are what it may do: exec, files:read, files:write, terminal, audit:read,
workspaces, tokens, terminal:read, forward, attachments. A token can't give a scope that
it doesn't have.

Its secret is shown once, when it is made. Its prefix names it in lists and in the
activity log.`,
		Example: `  sallyport tokens create ci --workspace build --scope exec --expires-in 30d
  sallyport tokens list
  sallyport tokens revoke ci`,
	}, a.newTokensList(), a.newTokensCreate(), a.newTokensRevoke())
}

func tokenColumns() []column[sallyport.Token] {
	type tok = sallyport.Token
	return []column[tok]{
		{"NAME", func(t tok) string { return t.Name }},
		{"PREFIX", func(t tok) string { return t.Prefix }},
		{"SCOPES", func(t tok) string { return scopesText(t.Scopes) }},
		{"EXPIRES", func(t tok) string { return whenever(t.ExpiresAt, "never") }},
		{"CREATED", func(t tok) string { return when(t.CreatedAt) }},
		{"ID", func(t tok) string { return t.ID }},
	}
}

func scopesText(scopes []sallyport.Scope) string {
	var texts []string
	for _, s := range scopes {
		texts = append(texts, string(s))
	}
	return strings.Join(texts, ",")
}

// addOwner gives a command its --workspace.
func (a *app) addOwner(cmd *cobra.Command, owner *client.Owner, usage string) {
	cmd.Flags().StringVar(&owner.Workspace, "workspace", "", usage)
	complete(cmd, "workspace", a.completeWorkspaces)
}

func (a *app) newTokensList() *cobra.Command {
	var owner client.Owner
	var limit int
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the live tokens of the organisation or a workspace, oldest first",
		Example: `  sallyport tokens list
  sallyport tokens list --workspace build`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := a.newAPI(false)
			if err != nil {
				return err
			}
			if err := a.ownerRef(cmd.Context(), api.Client, &owner); err != nil {
				return err
			}
			return printList(a, api, cmd, limit, tokenColumns(), func(p client.Page) (sallyport.List[sallyport.Token], error) {
				return api.ListTokens(cmd.Context(), owner, p)
			})
		},
	}
	a.addOwner(cmd, &owner, "the tokens of this `WORKSPACE`, not the organisation's")
	addLimit(cmd, &limit, 0)
	return cmd
}

func (a *app) newTokensCreate() *cobra.Command {
	var owner client.Owner
	var scopes []string
	var life time.Duration
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a token, and show its secret this once",
		Example: `  sallyport tokens create ci --scope exec --expires-in 30d
  sallyport tokens create agent --workspace build
  sallyport tokens create ci --json | jq -r .token`,
		Args: takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("expires-in") && life <= 0 {
				return usagef("for example: --expires-in 30d", "--expires-in %s is not in the future", life)
			}
			t := sallyport.TokenCreate{Name: args[0], ExpiresInS: int64((life + time.Second - 1) / time.Second)}
			for _, s := range scopes {
				t.Scopes = append(t.Scopes, sallyport.Scope(s))
			}
			api, err := a.newAPI(false)
			if err != nil {
				return err
			}
			if err := a.ownerRef(cmd.Context(), api.Client, &owner); err != nil {
				return err
			}
			token, err := api.CreateToken(cmd.Context(), owner, t)
			if err != nil {
				return err
			}
			secret := column[sallyport.Token]{"TOKEN", func(t sallyport.Token) string { return t.Secret }}
			return show(a, api, append(tokenColumns(), secret), token)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	a.addOwner(cmd, &owner, "for this `WORKSPACE` alone, not for the organisation")
	cmd.Flags().StringSliceVar(&scopes, "scope", nil, "a `SCOPE`; may be repeated (default all but workspaces, tokens, terminal:read, forward and attachments)")
	cmd.Flags().Var((*duration)(&life), "expires-in", "end the token after this `TIME`, such as 12h or 30d (default never)")
	complete(cmd, "scope", completeScopes)
	complete(cmd, "expires-in", cobra.NoFileCompletions)
	return cmd
}

func (a *app) newTokensRevoke() *cobra.Command {
	var owner client.Owner
	cmd := &cobra.Command{
		Use:     "revoke TOKEN",
		Aliases: []string{"rm"},
		Short:   "End a token, and the execs that run under it",
		Long: `Ends a token, and the execs that run under it. TOKEN is its name, its prefix (such as
sp_org_1a2b3c4d), its id, or the beginning of either, as long as it names one token.`,
		Example: `  sallyport tokens revoke ci
  sallyport tokens revoke sp_org_1a2b3c4d
  sallyport tokens revoke --workspace build 01980000-0000-7000-8000-000000000000`,
		Args: takes("TOKEN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := a.newAPI(false)
			if err != nil {
				return err
			}
			if err := a.ownerRef(cmd.Context(), api.Client, &owner); err != nil {
				return err
			}
			id, err := tokenRef(cmd.Context(), api.Client, owner, args[0])
			if err != nil {
				return err
			}
			if err := api.RevokeToken(cmd.Context(), owner, id); err != nil {
				return err
			}
			return a.done("token %s revoked", id)
		},
		ValidArgsFunction: completeFirst(a.completeTokens(&owner)),
	}
	a.addOwner(cmd, &owner, "a token of this `WORKSPACE`, not of the organisation")
	return cmd
}
