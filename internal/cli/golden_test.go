package cli

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
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

// TestHelpGolden holds the help of every command to testdata/help.golden, which
// -update rewrites.
func TestHelpGolden(t *testing.T) {
	const name = "testdata/help.golden"
	var got bytes.Buffer
	for _, cmd := range commands(newTestRoot()) {
		if cmd.GroupID == groupServe {
			continue // their flags are the server's own table
		}
		fmt.Fprintf(&got, "$ %s --help\n", cmd.CommandPath())
		cmd.InitDefaultHelpFlag()
		cmd.SetOut(&got)
		if err := cmd.Help(); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&got)
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

// TestHelpTeaches: every command says what it does and shows how.
func TestHelpTeaches(t *testing.T) {
	for _, cmd := range commands(newTestRoot()) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: Short is %q", cmd.CommandPath(), cmd.Short)
		}
		if !strings.Contains(cmd.Example, "sallyport ") {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for _, line := range strings.Split(cmd.Long+"\n"+cmd.Example, "\n") {
			if len(line) > 100 {
				t.Errorf("%s: a line of %d characters: %s", cmd.CommandPath(), len(line), line)
			}
		}
	}
}
