package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"sallyport/client/sallyport"
)

func (a *app) newCA() *cobra.Command {
	return newGroup(&cobra.Command{
		Use:   "ca",
		Short: "Show the SSH CA's keys, which machines trust, and rotate them",
		Long: `Each organisation has an SSH CA of its own. The server logs in to the organisation's
machines with certificates of this CA, each made for one connection and valid for five
minutes. A machine that trusts the CA's public keys lets the server in for this
organisation, and for no other, and needs no other key:

  sallyport ca show | ssh MACHINE sudo tee /etc/ssh/sallyport_ca.pub
  # and in MACHINE's /etc/ssh/sshd_config: TrustedUserCAKeys /etc/ssh/sallyport_ca.pub`,
		Example: `  sallyport ca show
  sallyport ca show --org acme
  sallyport ca rotate`,
	}, a.newCAShow(), a.newCARotate())
}

func (a *app) newCAShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show",
		Aliases: []string{"get"},
		Short:   "Print the public keys in force, newest first, as TrustedUserCAKeys takes them",
		Example: `  sallyport ca show > /etc/ssh/sallyport_ca.pub
  sallyport ca show --output json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := a.newAPI(false)
			if err != nil {
				return err
			}
			keys, err := api.CAKeys(cmd.Context())
			if err != nil {
				return a.whoseCA(err)
			}
			if a.asJSON() {
				return marshalJSON(a.out, sallyport.List[sallyport.CAKey]{Items: keys})
			}
			for _, k := range keys {
				if _, err := fmt.Fprintln(a.out, visible(k.Line())); err != nil {
					return err
				}
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}

func (a *app) newCARotate() *cobra.Command {
	var req sallyport.CARotate
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Make a new key of the organisation's SSH CA",
		Long: `Makes a new key of the organisation's SSH CA, which takes a token with scope
workspaces, or the admin's with --org. The keys of other organisations stay as they are.
The key before stays in force for the overlap, seven days unless the server's
keys.ca_overlap says otherwise: until then machines let the server in whichever of the
two they know. Give them what "sallyport ca show" prints before the overlap ends.

With --now there is no overlap. It is for a key that has got out: machines that don't
know the new one are out of reach until they do, and what they still trust should be
taken from them.`,
		Example: `  sallyport ca rotate
  sallyport ca rotate --now
  sallyport ca rotate --admin --org acme`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := a.newAPI(false)
			if err != nil {
				return err
			}
			keys, err := api.RotateCA(cmd.Context(), req)
			if err != nil {
				return err
			}
			if a.asJSON() {
				return printJSON(a.out, api.answer)
			}
			if err := printRows(a, a.out, caColumns(), keys, true); err != nil {
				return err
			}
			a.note("give machines the keys that sallyport ca show prints")
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().BoolVar(&req.Now, "now", false, "end the keys before at once, without an overlap")
	return cmd
}

// whoseCA adds a hint to the answer to an admin who names no organisation.
func (a *app) whoseCA(err error) error {
	if sallyport.CodeOf(err) == sallyport.CodeNotFound && a.flags.org == "" {
		return &hintedError{err, "the admin token belongs to no organisation: name one with --org"}
	}
	return err
}

func caColumns() []column[sallyport.CAKey] {
	return []column[sallyport.CAKey]{
		{"FINGERPRINT", func(k sallyport.CAKey) string { return k.Fingerprint }},
		{"ENDS", func(k sallyport.CAKey) string { return whenever(k.EndsAt, "never") }},
		{"ID", func(k sallyport.CAKey) string { return k.ID }},
	}
}
