package cli

import (
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"sallyport/client"
	"sallyport/client/sallyport"
)

// addLimit gives a command that lists its --limit; a default of 0 is all.
func addLimit(cmd *cobra.Command, limit *int, byDefault int) {
	*limit = byDefault
	cmd.Flags().Var((*count)(limit), "limit", "show this many at most; 0 is all")
	complete(cmd, "limit", cobra.NoFileCompletions)
}

// count is the value of a flag that is a number, and not less than 0.
type count int

// Set takes a value of the flag.
func (c *count) Set(s string) error {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return errors.New("it is a number, 0 or more")
	}
	*c = count(n)
	return nil
}

func (c *count) String() string { return strconv.Itoa(int(*c)) }

// Type is what the help text calls the value.
func (c *count) Type() string { return "N" }

// printList prints a list up to its limit. That there is more is said to those
// who did not ask for a limit.
func printList[T any](a *app, api *api, cmd *cobra.Command, limit int, columns []column[T], page func(client.Page) (sallyport.List[T], error)) error {
	more, err := listing[T]{columns: columns, limit: limit, page: page}.print(a, api)
	if err == nil && more && limit > 0 && !cmd.Flags().Changed("limit") {
		a.note("there is more than %d; --limit N shows more, --limit 0 all", limit)
	}
	return err
}
