package redact_test

import (
	"bufio"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/redact"
)

// casesMin is how many cases each corpus has at least.
const casesMin = 80

var unmarked = strings.NewReplacer("«", "", "»", "")

// readCorpus returns the argvs of a corpus, each from one line of JSON.
func readCorpus(t testing.TB, name string) [][]string {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var argvs [][]string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if line := lines.Text(); line != "" && !strings.HasPrefix(line, "#") {
			var argv []string
			if err := json.Unmarshal([]byte(line), &argv); err != nil {
				t.Fatalf("%s: %v: %s", name, err, line)
			}
			argvs = append(argvs, argv)
		}
	}
	if lines.Err() != nil || len(argvs) < casesMin {
		t.Fatalf("%s: %d cases, %v", name, len(argvs), lines.Err())
	}
	return argvs
}

// parseHit splits a marked argv into what runs, its secrets, and what is logged.
func parseHit(marked []string) (argv, secrets, want []string) {
	for _, word := range marked {
		argv = append(argv, unmarked.Replace(word))
		var b strings.Builder
		for {
			before, rest, ok := strings.Cut(word, "«")
			b.WriteString(before)
			if !ok {
				break
			}
			hidden, after, _ := strings.Cut(rest, "»")
			if hidden != "" {
				b.WriteString(redact.Mark)
				secrets = append(secrets, hidden)
			}
			word = after
		}
		want = append(want, b.String())
	}
	return argv, secrets, want
}

func TestSecretsAreMasked(t *testing.T) { checkCorpus(t, "hits.txt") }

// TestActsStay: however it is written, what runs is in the row.
func TestActsStay(t *testing.T) { checkCorpus(t, "acts.txt") }

func TestProgramsAreKnown(t *testing.T) { checkCorpus(t, "programs.txt") }

func checkCorpus(t *testing.T, name string) {
	t.Parallel()
	for _, marked := range readCorpus(t, name) {
		argv, secrets, want := parseHit(marked)
		before := slices.Clone(argv)
		got := redact.Argv(argv)
		if !slices.Equal(got, want) {
			t.Errorf("Argv(%q)\n got %q\nwant %q", argv, got, want)
		}
		if !slices.Equal(argv, before) {
			t.Errorf("Argv changed its input: %q", before)
		}
		if again := redact.Argv(got); !slices.Equal(again, got) {
			t.Errorf("Argv isn't idempotent: %q then %q", got, again)
		}
		shown := strings.Join(got, "\n") + redact.Summary(got)
		for _, s := range secrets {
			if len(s) > 3 && strings.Contains(shown, s) {
				t.Errorf("%q is still there: %q", s, got)
			}
		}
	}
}

func TestOthersStay(t *testing.T) {
	for _, argv := range readCorpus(t, "plain.txt") {
		if got := redact.Argv(argv); !slices.Equal(got, argv) {
			t.Errorf("Argv(%q)\n got %q", argv, got)
		}
	}
}
