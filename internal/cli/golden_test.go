package cli

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// commands returns cmd and all below it that a user sees.
func commands(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, below := range cmd.Commands() {
		if below.IsAvailableCommand() {
			all = append(all, commands(below)...)
		}
	}
	return all
}

func newTestRoot() *cobra.Command {
	a := &app{Program: Program{Version: "v1.2.3", Env: environ()}, out: &output{}}
	return a.newRoot()
}

// helpOf is what a user reads of a command.
func helpOf(t *testing.T, cmd *cobra.Command) string {
	t.Helper()
	var help bytes.Buffer
	cmd.InitDefaultHelpFlag()
	cmd.SetOut(&help)
	if err := cmd.Help(); err != nil {
		t.Fatal(err)
	}
	return help.String()
}

// TestHelpGolden holds the help of every command to testdata/help.golden, which
// -update rewrites.
func TestHelpGolden(t *testing.T) {
	const name = "testdata/help.golden"
	var got bytes.Buffer
	for _, cmd := range commands(newTestRoot()) {
		if cmd.GroupID == groupServe {
			continue // their flags are the server's own table
		}
		fmt.Fprintf(&got, "$ %s --help\n%s\n", cmd.CommandPath(), helpOf(t, cmd))
	}
	if *update {
		if err := os.WriteFile(name, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the help has changed; look at it, then: go test ./internal/cli -run TestHelpGolden -update")
	}
}
