package house

import (
	"go/ast"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// threatsPage says what is tried, and where that is tested.
const (
	threatsPage = "docs/internals/threats.md"
	scriptsDir  = "test/acceptance/testdata"
)

// TestThreats keeps the page of threats true: each test that it names is there, and
// each attack script and fuzz target is named.
func TestThreats(t *testing.T) {
	root := os.DirFS(repository)
	page, err := fs.ReadFile(root, threatsPage)
	if err != nil {
		t.Fatal(err)
	}
	scripts, err := fs.Glob(root, scriptsDir+"/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range checkThreats(string(page), testsOf(loadRepository(t)), scripts) {
		t.Errorf("%s: %s", threatsPage, fault)
	}
}

// testsOf lists the tests and fuzz targets of each folder, as FOLDER NAME.
func testsOf(code *tree) (tests []string) {
	for _, p := range code.packages {
		for _, f := range p.files {
			if !strings.HasSuffix(f.path, "_test.go") {
				continue
			}
			for _, declaration := range f.syntax.Decls {
				if function, ok := declaration.(*ast.FuncDecl); ok && function.Recv == nil && testName.MatchString(function.Name.Name) {
					tests = append(tests, p.dir+" "+function.Name.Name)
				}
			}
		}
	}
	return tests
}

var (
	testName = regexp.MustCompile(`^(Test|Fuzz)[A-Z0-9]`)
	quoted   = regexp.MustCompile("`([^`]*)`")
)

// checkThreats says what is wrong with the page: rows that name no test and don't
// say that they are open, tests and scripts that there aren't, and attack scripts and
// fuzz targets that no row names.
func checkThreats(page string, tests, scripts []string) (faults []string) {
	named := map[string]bool{}
	rows := 0
	for line := range strings.Lines(page) {
		cells := strings.Split(strings.TrimSpace(line), " |")
		if !strings.HasPrefix(line, "| ") || len(cells) < 4 || strings.HasSuffix(strings.TrimSpace(line), "| tested |") {
			continue
		}
		rows++
		what, happens, where := strings.TrimPrefix(cells[0], "| "), cells[1], cells[2]
		names := namesIn(where)
		if len(names) == 0 && !strings.Contains(happens, "open:") {
			faults = append(faults, "no test of "+what)
		}
		for _, name := range names {
			named[name] = true
			if !slices.Contains(tests, name) && !slices.Contains(scripts, path.Join(scriptsDir, name)) {
				faults = append(faults, "there is no "+name+", which is named for "+what)
			}
		}
	}
	for _, test := range tests {
		if strings.Contains(test, " Fuzz") && !named[test] {
			faults = append(faults, "no row names "+test)
		}
	}
	for _, script := range scripts {
		if name := path.Base(script); strings.HasPrefix(name, "attack-") && !named[name] {
			faults = append(faults, "no row names "+name)
		}
	}
	if rows == 0 {
		faults = append(faults, "there are no rows")
	}
	return faults
}

// namesIn reads a cell: `FOLDER: TEST, TEST` and `SCRIPT.txtar`.
func namesIn(cell string) (names []string) {
	for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
		dir, list, isFolder := strings.Cut(m[1], ": ")
		if !isFolder {
			names = append(names, m[1])
			continue
		}
		for _, test := range strings.Split(list, ", ") {
			names = append(names, dir+" "+test)
		}
	}
	return names
}

func TestThreatsRule(t *testing.T) {
	const head = "| tried | what happens | tested |\n|---|---|---|\n"
	tests, scripts := []string{"a TestA", "a FuzzB"}, []string{scriptsDir + "/attack-c.txtar", scriptsDir + "/d.txtar"}
	const whole = head + "| x | y | `a: TestA, FuzzB`; `attack-c.txtar` |\n"
	for page, want := range map[string]string{
		whole:                               "",
		whole + "| z | open: not yet | |\n": "",
		whole + "| z | y | |\n":             "no test of z",
		whole + "| z | y | `a: TestB` |\n":  "there is no a TestB, which is named for z",
		whole + "| z | y | `b: TestA` |\n":  "there is no b TestA",
		whole + "| z | y | `e.txtar` |\n":   "there is no e.txtar",
		head + "| x | y | `a: TestA` |\n":   "no row names a FuzzB",
		head + "| x | y | `a: FuzzB` |\n":   "no row names attack-c.txtar",
		"":                                  "no row names a FuzzB",
	} {
		got := strings.Join(checkThreats(page, tests, scripts), "\n")
		if !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("%s\ngot  %q\nwant %q", page, got, want)
		}
	}
}
