package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestHelpTeaches: every command says what it does and shows how, no wider than a
// window.
func TestHelpTeaches(t *testing.T) {
	root := newTestRoot()
	addCompletion(root)
	for _, cmd := range commands(root) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: Short is %q", cmd.CommandPath(), cmd.Short)
		}
		// What a shell's script is for, its long text shows.
		if !strings.Contains(cmd.Example, "sallyport ") && !strings.Contains(cmd.Long, "\tsallyport ") && !strings.Contains(cmd.Long, "\tsource ") {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for line := range strings.Lines(helpOf(t, cmd)) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > helpColumns {
				t.Errorf("%s: a line of %d characters: %s", cmd.CommandPath(), n, line)
			}
		}
	}
}

// TestExamples: what an example shows is a command that there is, with flags and
// arguments that it takes, and each command is in its own example.
func TestExamples(t *testing.T) {
	for _, cmd := range commands(newTestRoot()) {
		own := false
		for line := range strings.Lines(cmd.Example) {
			args := exampleArgs(line)
			if args == nil {
				t.Errorf("%s: no command in the example %q", cmd.CommandPath(), line)
				continue
			}
			shown, err := parseExample(args)
			if err != nil {
				t.Errorf("%s: %v", strings.TrimSpace(line), err)
			}
			own = own || shown == cmd.CommandPath() || strings.HasPrefix(shown, cmd.CommandPath()+" ")
		}
		if !own {
			t.Errorf("%s is in none of its examples", cmd.CommandPath())
		}
	}
}

// parseExample parses arguments as the program would, and returns the command that
// they are for.
func parseExample(args []string) (path string, err error) {
	root := newTestRoot()
	addCompletion(root)
	cmd, rest, err := root.Find(args)
	if err == nil && cmd == root {
		err = cobra.NoArgs(cmd, rest)
	}
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err == nil {
		err = cmd.ValidateArgs(cmd.Flags().Args())
	}
	return cmd.CommandPath(), err
}

// exampleArgs are the arguments of the program in a shell's line; nil when the line
// doesn't call it.
func exampleArgs(line string) []string {
	words := shellWords(line)
	program := slices.Index(words, "sallyport")
	if program >= 0 && slices.Contains(words[:program], "sudo") { // -u sallyport
		if next := slices.Index(words[program+1:], "sallyport"); next >= 0 {
			program += 1 + next
		}
	}
	if program < 0 {
		return nil
	}
	args := words[program+1:]
	if end := slices.IndexFunc(args, func(w string) bool { return strings.Trim(w, "|<>()#;&") == "" }); end >= 0 {
		args = args[:end]
	}
	return append([]string{}, args...)
}

// shellWords splits a line as a shell would, as far as examples go: quotes, and
// what ends a command as a word of its own.
func shellWords(line string) []string {
	if _, command, found := strings.Cut(line, "eval \"$("); found { // eval "$(sallyport …)"
		line, _, _ = strings.Cut(command, ")")
	}
	var words []string
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimLeft(line, " ") {
		n := strings.IndexAny(line, " '\"|<>();&")
		switch {
		case n < 0:
			n = len(line)
		case n == 0 && (line[0] == '\'' || line[0] == '"'):
			n = 2 + max(0, strings.IndexByte(line[1:], line[0]))
		case n == 0:
			n = 1
		}
		words = append(words, strings.Trim(line[:n], "'\""))
		line = line[n:]
	}
	return words
}

// TestExamplesCatch: an example that is wrong would be found.
func TestExamplesCatch(t *testing.T) {
	for line, want := range map[string]bool{
		"sallyport exec build -- sh -c 'echo out; exit 3' | cat": true,
		"sallyport doctor --bogus":                               false,
		"sallyport workspaces get":                               false,
		"sallyport nothing":                                      false,
	} {
		_, err := parseExample(exampleArgs(line))
		if (err == nil) != want {
			t.Errorf("%s: %v", line, err)
		}
	}
}
