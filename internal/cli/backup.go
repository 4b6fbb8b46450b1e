package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/backup"
	"sallyport/internal/config"
	"sallyport/internal/limits"
)

// stdName is what a command line calls stdin, or stdout.
const stdName = "-"

func (a *app) newBackup() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "backup [FILE|-]",
		Short: "Copy the store, also while the server serves",
		Long: `Copies the store of the server that runs here, or would run, by the same
configuration. The copy is one moment of it, checked, and complete in one file; the
server goes on meanwhile. It holds no output and no token, but whoever has it can read
the activity log: its mode is 0600.

FILE appears whole or not at all, and never replaces another without --force; without
FILE it is named for the time, in this directory. With - the copy goes to stdout, and
the summary of its contents to stderr.`,
		Example: `  sallyport backup --config /etc/sallyport/server.yaml /var/backups/sallyport.db
  sallyport backup --data-dir /var/lib/sallyport - | age -r age1... > sallyport.db.age
  sallyport backup --dev`,
		Args: atMostOne("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.backup(cmd, args, force) },
	}
	cmd.ValidArgsFunction = completeFile
	addServerFlags(cmd, config.ModeServer)
	addDev(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "replace FILE if it is there")
	return cmd
}

func (a *app) backup(cmd *cobra.Command, args []string, force bool) error {
	loaded, err := a.loadConfig(cmd, modeOf(cmd))
	if err != nil {
		return err
	}
	file := "sallyport-" + time.Now().UTC().Format("20060102T150405Z") + ".db"
	if len(args) > 0 {
		file = args[0]
	}
	o := backup.Options{File: file, Force: force, Progress: a.progress()}
	about := io.Writer(a.out)
	if file == stdName {
		if isTerminal(a.Stdout) {
			return usagef("redirect it: sallyport backup - > FILE", "a backup is nothing for a terminal")
		}
		o.Writer, about, file = a.out, a.Stderr, ""
	}
	held, err := backup.Backup(cmd.Context(), loaded.Config, o)
	if errors.Is(err, backup.ErrExists) {
		return &hintedError{err, "choose another, or replace it with --force"}
	}
	if err != nil {
		return err
	}
	return a.printContents(about, file, held)
}

// progress returns a function that says now and then how far a long copy is.
func (a *app) progress() func(done, total int64) {
	next := time.Now().Add(limits.BackupTellEvery)
	return func(done, total int64) {
		if now := time.Now(); now.After(next) {
			next = now.Add(limits.BackupTellEvery)
			a.note("copied %d of %d MiB", done>>20, total>>20)
		}
	}
}

// contents is what a copy of the store holds, as --output json has it.
type contents struct {
	File          string           `json:"file,omitempty"`
	Bytes         int64            `json:"bytes"`
	SchemaVersion int64            `json:"schema_version"`
	Orgs          int64            `json:"orgs"`
	Workspaces    int64            `json:"workspaces"`
	Tokens        int64            `json:"tokens"`
	Activity      int64            `json:"activity"`
	Running       int64            `json:"running"`
	LastSeqs      map[string]int64 `json:"last_seqs"`
	NewestAt      *time.Time       `json:"newest_at,omitempty"`
}

func (a *app) printContents(w io.Writer, file string, held backup.Contents) error {
	c := contents{
		File: file, Bytes: held.Bytes, SchemaVersion: held.SchemaVersion, Orgs: held.Orgs, Workspaces: held.Workspaces,
		Tokens: held.Tokens, Activity: held.Rows, Running: held.Running, LastSeqs: held.LastSeqs,
	}
	if !held.NewestAt.IsZero() {
		c.NewestAt = &held.NewestAt
	}
	if a.asJSON() {
		return marshalJSON(w, c)
	}
	number := func(field func(contents) int64) func(contents) string {
		return func(c contents) string { return strconv.FormatInt(field(c), 10) }
	}
	return printOne(a, w, []column[contents]{
		{"FILE", func(c contents) string { return cmp.Or(c.File, stdName) }},
		{"SIZE", func(c contents) string { return fmt.Sprintf("%d bytes", c.Bytes) }},
		{"SCHEMA", func(c contents) string { return fmt.Sprintf("version %d", c.SchemaVersion) }},
		{"ORGS", number(func(c contents) int64 { return c.Orgs })},
		{"WORKSPACES", number(func(c contents) int64 { return c.Workspaces })},
		{"TOKENS", number(func(c contents) int64 { return c.Tokens })},
		{"ACTIVITY", func(c contents) string { return fmt.Sprintf("%d rows, %d of them open", c.Activity, c.Running) }},
		{"LAST SEQ", func(c contents) string { return lastSeqText(c.LastSeqs) }},
		{"NEWEST", func(c contents) string { return whenever(c.NewestAt, "-") }},
	}, c)
}

// lastSeqText is the range of the organisations' last seqs; JSON has each.
func lastSeqText(seqs map[string]int64) string {
	least, most := int64(math.MaxInt64), int64(0)
	for _, seq := range seqs {
		least, most = min(least, seq), max(most, seq)
	}
	switch len(seqs) {
	case 0:
		return "-"
	case 1:
		return strconv.FormatInt(most, 10)
	}
	return fmt.Sprintf("%d to %d, in %d organisations", least, most, len(seqs))
}

// isTerminal tells whether a person would see what is written there.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, is := openTerminal(f)
	return is
}

// atMostOne checks that a command has no more than one argument.
func atMostOne(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return takes(name)(cmd, args)
		}
		return nil
	}
}
