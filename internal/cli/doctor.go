package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"sallyport/client/sallyport"
	"sallyport/internal/config"
	"sallyport/internal/doctor"
)

func (a *app) newDoctor() *cobra.Command {
	var url string
	var deep bool
	cmd := &cobra.Command{
		Use:   "doctor [WORKSPACE]",
		Short: "Find faults of a server, or on the way to a workspace's machine",
		Long: `Examines this machine for the server that runs here, or would run, by the same
configuration: data directory, disk, database, address, certificate, clock, limits and
tools. Where a profile is known, it examines the way to that profile's server too; with
--url that alone, from here to the server there. It changes nothing.

With a WORKSPACE the server walks the way to its machine: name, address, port, banner,
host key, login, shell and SFTP; the step that fails has a hint what to do.

Exit codes:
  0  nothing failed; there may be warnings
  1  something failed
  2  doctor was used wrongly`,
		Example: `  sallyport doctor --config /etc/sallyport/server.yaml
  sudo -u sallyport sallyport doctor --deep --output json
  sallyport doctor --dev
  sallyport doctor --url https://sallyport.example
  sallyport doctor build`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return takes("WORKSPACE")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return a.diagnose(cmd.Context(), args[0])
			}
			found, err := a.examine(cmd, url, deep)
			if err != nil {
				return err
			}
			return a.printFindings(found)
		},
		ValidArgsFunction: completeFirst(a.completeWorkspaces),
	}
	addServerFlags(cmd, config.ModeServer)
	addDev(cmd)
	cmd.Flags().StringVar(&url, "url", "", "examine the server at this `URL` alone, not this machine")
	cmd.Flags().BoolVar(&deep, "deep", false, "read all of the database, however large, and its indexes")
	complete(cmd, "url", cobra.NoFileCompletions)
	return cmd
}

// diagnose shows the steps on the way to a workspace's machine.
func (a *app) diagnose(ctx context.Context, workspace string) error {
	api, err := a.newAPI(false)
	if err != nil {
		return err
	}
	if workspace, err = a.workspaceRef(ctx, api.Client, workspace); err != nil {
		return err
	}
	found, err := api.Diagnose(ctx, workspace)
	if err != nil {
		return err
	}
	if a.asJSON() {
		err = printJSON(a.out, api.answer)
	} else {
		err = a.printSteps(a.out, found)
	}
	if err == nil && !found.OK {
		return exitCode(exitFailed)
	}
	return err
}

// printSteps writes a row for each step, and one below it for its hint.
func (a *app) printSteps(w io.Writer, found sallyport.Diagnosis) error {
	type row = [4]string
	var rows []row
	for _, s := range found.Steps {
		detail := s.Detail
		if s.Fingerprint != "" {
			detail += " (" + s.Fingerprint + ")"
		}
		took := ""
		if s.DurationMS > 0 {
			took = strconv.FormatInt(s.DurationMS, 10) + "ms"
		}
		rows = append(rows, row{s.Status, s.Name, took, detail})
		if s.Hint != "" {
			rows = append(rows, row{"", "", "", "hint: " + s.Hint})
		}
	}
	return printRows(a, w, []column[row]{
		{"STATUS", func(r row) string { return r[0] }},
		{"STEP", func(r row) string { return r[1] }},
		{"TOOK", func(r row) string { return r[2] }},
		{"FOUND", func(r row) string { return r[3] }},
	}, rows, true)
}

// examine looks at the machine, at the way to a server, or both.
func (a *app) examine(cmd *cobra.Command, url string, deep bool) ([]doctor.Finding, error) {
	if cmd.Flags().Changed("url") {
		return a.examineURL(cmd.Context(), url)
	}
	loaded, err := a.loadConfig(cmd, modeOf(cmd))
	var usage *usageError
	if errors.As(err, &usage) {
		return nil, err
	}
	var found []doctor.Finding
	if err != nil {
		found = append(found, doctor.Finding{
			Check: "configuration", Status: doctor.StatusFail, Message: err.Error(),
			Hint: "mend it and call doctor again: without it, nothing of this machine was examined",
		})
	} else {
		found = doctor.Examine(cmd.Context(), loaded, doctor.Options{Version: a.Version, Deep: deep})
	}
	remote, err := a.examineProfile(cmd.Context())
	if err != nil {
		return nil, err
	}
	return append(found, remote...), cmd.Context().Err()
}

func (a *app) printFindings(found []doctor.Finding) error {
	count := map[doctor.Status]int{}
	for _, f := range found {
		count[f.Status]++
	}
	worst := doctor.StatusOK
	if count[doctor.StatusWarn] > 0 {
		worst = doctor.StatusWarn
	}
	if count[doctor.StatusFail] > 0 {
		worst = doctor.StatusFail
	}
	var err error
	if a.asJSON() {
		err = marshalJSON(a.out, map[string]any{"status": worst, "items": found})
	} else {
		err = a.printFindingRows(a.out, found)
		fmt.Fprintf(a.out, "\n%d ok, %d warnings, %d failed\n", count[doctor.StatusOK], count[doctor.StatusWarn], count[doctor.StatusFail])
	}
	if err == nil && worst == doctor.StatusFail {
		return exitCode(exitFailed)
	}
	return err
}

// printFindingRows writes a row for each finding, and one below it for its hint.
func (a *app) printFindingRows(w io.Writer, found []doctor.Finding) error {
	type row = [3]string
	var rows []row
	for _, f := range found {
		rows = append(rows, row{string(f.Status), f.Check, f.Message})
		if f.Hint != "" {
			rows = append(rows, row{"", "", "hint: " + f.Hint})
		}
	}
	return printRows(a, w, []column[row]{
		{"STATUS", func(r row) string { return r[0] }},
		{"CHECK", func(r row) string { return r[1] }},
		{"FOUND", func(r row) string { return r[2] }},
	}, rows, true)
}
