package house

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
)

// use is a name of another package that only some packages may use.
type use struct {
	rule  string
	pkg   string // as importPath returns it
	names []string
	// tests: in tests too.
	tests   bool
	allowed []string
	why     string
}

var uses = []use{
	{"sleep", "time", []string{"Sleep"}, true, nil,
		"a sleep is too long or too short: wait for what you wait for (a channel, a condition with a deadline), or test in testing/synctest"},
	{"print", "fmt", []string{"Print", "Printf", "Println"}, false, []string{"internal/cli", "cmd/..."},
		"stdout belongs to the command line: return it, write it to an io.Writer that you were given, or log it"},
	{"background", "context", []string{"Background", "TODO"}, false, []string{"cmd/...", "internal/cli", "internal/server"},
		"a context begins where the program or a request does: take it as a parameter; context.WithoutCancel outlives a request"},
}

// recording may make a change of the activity log; the gateway carries to the
// store what internal/audit made, so that row and record are one write.
var recording = []string{"internal/audit", "internal/store/..."}

// forTests are packages that are tests in all but their files' names.
var forTests = append([]string{"bench", "test/..."}, testSupport...)

// checkCalls reports uses of names that the table forbids in dir, panics, and
// changes of the activity log from another hand than its own.
func checkCalls(t *tree, dir string, f *file) []finding {
	imported := importNames(f.syntax)
	isTest := f.isTest || matches(forTests, dir)
	var found []finding
	ast.Inspect(f.syntax, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.SelectorExpr:
			if u := forbiddenUse(n, imported, dir, isTest); u != nil {
				found = append(found, finding{u.rule, t.at(n), f.path,
					fmt.Sprintf("%s.%s: %s", path.Base(u.pkg), n.Sel.Name, u.why)})
			}
		case *ast.CallExpr:
			if isPanic(n) && !isTest {
				found = append(found, finding{"panic", t.at(n), f.path,
					"panic: a server has other callers than this one; return an error"})
			}
		case *ast.CompositeLit:
			if isActivityChange(n, imported) && !isTest && !matches(recording, dir) {
				found = append(found, finding{"activity", t.at(n), f.path,
					"store.ActivityChange{…}: the log's rows are made by internal/audit alone, which masks them; ask it for the change"})
			}
		}
		return true
	})
	return found
}

func forbiddenUse(selector *ast.SelectorExpr, imported map[string]string, dir string, isTest bool) *use {
	of, ok := selector.X.(*ast.Ident)
	if !ok {
		return nil
	}
	for i, u := range uses {
		if imported[of.Name] == u.pkg && slices.Contains(u.names, selector.Sel.Name) &&
			(u.tests || !isTest) && !matches(u.allowed, dir) {
			return &uses[i]
		}
	}
	return nil
}

func isPanic(call *ast.CallExpr) bool {
	function, ok := call.Fun.(*ast.Ident)
	return ok && function.Name == "panic"
}

// isActivityChange tells whether a literal is a change that says something: the
// zero value stands beside an error.
func isActivityChange(literal *ast.CompositeLit, imported map[string]string) bool {
	selector, ok := literal.Type.(*ast.SelectorExpr)
	if !ok || len(literal.Elts) == 0 {
		return false
	}
	of, ok := selector.X.(*ast.Ident)
	return ok && imported[of.Name] == "internal/store" && selector.Sel.Name == "ActivityChange"
}

// importNames returns what each package is called within a file. A package
// without a name of its own there is taken to be called as its folder is.
func importNames(syntax *ast.File) map[string]string {
	names := map[string]string{}
	for _, spec := range syntax.Imports {
		name := path.Base(importPath(spec))
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = importPath(spec)
	}
	return names
}
