package house

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
)

// At these sizes one stops and thinks; what must be larger is an exception.
const (
	functionLinesMax = 70
	fileLinesMax     = 500
)

// checkTidy reports all that the rules of this file and of calls.go forbid.
// standard holds the names of the standard library's packages.
func checkTidy(t *tree, standard map[string]bool) []finding {
	var found []finding
	for _, p := range t.packages {
		found = append(found, checkPackage(p, standard)...)
		for _, f := range p.files {
			found = append(found, checkSize(t, f)...)
			found = append(found, checkInit(t, f)...)
			found = append(found, checkDocs(t, f)...)
			found = append(found, checkCalls(t, p.dir, f)...)
		}
	}
	return found
}

// vagueNames say nothing of what is inside.
var vagueNames = []string{"util", "utils", "common", "helper", "helpers", "model", "models", "misc", "shared", "base"}

// checkPackage holds a package to a telling name and a doc comment.
func checkPackage(p *pkg, standard map[string]bool) []finding {
	var found []finding
	name := p.files[0].syntax.Name.Name
	if slices.Contains(vagueNames, name) {
		found = append(found, finding{"package name", p.dir, p.dir,
			fmt.Sprintf("%q says nothing of what is inside: name the package for the one thing it holds", name)})
	}
	if standard[name] {
		found = append(found, finding{"package name", p.dir, p.dir,
			fmt.Sprintf("%q is a package of the standard library: readers would take one for the other", name)})
	}
	if !slices.ContainsFunc(p.files, func(f *file) bool { return f.syntax.Doc != nil }) {
		found = append(found, finding{"package doc", p.dir, p.dir,
			fmt.Sprintf("the package has no doc comment: write one that begins \"Package %s\", above the package clause of one file", name)})
	}
	return found
}

func checkSize(t *tree, f *file) []finding {
	var found []finding
	if !f.isTest && f.lines > fileLinesMax {
		found = append(found, finding{"file length", f.path, f.path,
			fmt.Sprintf("%d lines, over %d: which part is a file of its own?", f.lines, fileLinesMax)})
	}
	for _, declaration := range f.syntax.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if n := functionLines(t, f, function); n > functionLinesMax {
			found = append(found, finding{"function length", t.at(function), f.path + " " + function.Name.Name,
				fmt.Sprintf("%s has %d lines, over %d: which part deserves a name of its own?", function.Name.Name, n, functionLinesMax)})
		}
	}
	return found
}

// functionLines counts from func to the closing brace. The rows of a test's
// tables don't count: a long table is no long function.
func functionLines(t *tree, f *file, function *ast.FuncDecl) int {
	n := t.line(function.End()) - t.line(function.Pos()) + 1
	if !f.isTest {
		return n
	}
	ast.Inspect(function, func(node ast.Node) bool {
		literal, ok := node.(*ast.CompositeLit)
		if !ok || !isTable(literal) {
			return true
		}
		n -= t.line(literal.End()) - t.line(literal.Pos())
		return false
	})
	return n
}

func isTable(literal *ast.CompositeLit) bool {
	switch literal.Type.(type) {
	case *ast.ArrayType, *ast.MapType:
		return true
	}
	return false
}

// checkInit: what runs before main can be neither ordered nor tested.
func checkInit(t *tree, f *file) []finding {
	var found []finding
	for _, declaration := range f.syntax.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if ok && function.Recv == nil && function.Name.Name == "init" {
			found = append(found, finding{"init", t.at(function), f.path,
				"init runs unseen and in an order nobody chose: make a function that the wiring calls"})
		}
	}
	return found
}

// checkDocs asks for a doc comment on every exported name of a package that
// others import.
func checkDocs(t *tree, f *file) []finding {
	if f.isTest || f.syntax.Name.Name == "main" {
		return nil
	}
	var found []finding
	for _, declaration := range f.syntax.Decls {
		for _, name := range undocumented(declaration) {
			found = append(found, finding{"exported doc", t.at(name), f.path,
				fmt.Sprintf("%s has no doc comment: state its contract (who closes, what cancel does, which code comes back)", name.Name)})
		}
	}
	return found
}

// undocumented returns the exported names of a declaration that nothing explains.
func undocumented(declaration ast.Decl) []*ast.Ident {
	switch d := declaration.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && !isWellKnown(d) && isOnExported(d) {
			return []*ast.Ident{d.Name}
		}
	case *ast.GenDecl:
		// The comment of a group speaks for all that is in it.
		if d.Doc != nil && (d.Tok != token.TYPE || len(d.Specs) == 1) {
			return nil
		}
		var names []*ast.Ident
		for _, spec := range d.Specs {
			names = append(names, undocumentedSpec(spec)...)
		}
		return names
	}
	return nil
}

func undocumentedSpec(spec ast.Spec) []*ast.Ident {
	var names []*ast.Ident
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Doc == nil && s.Comment == nil {
			names = append(names, s.Name)
		}
	case *ast.ValueSpec:
		if s.Doc == nil && s.Comment == nil {
			names = append(names, s.Names...)
		}
	}
	return slices.DeleteFunc(names, func(name *ast.Ident) bool { return !name.IsExported() })
}

// wellKnown are methods whose contract stands in the standard library.
var wellKnown = []string{"Error", "Unwrap", "Is", "As", "String", "Read", "Write", "Close", "ServeHTTP",
	"MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText", "Len", "Less", "Swap"}

func isWellKnown(function *ast.FuncDecl) bool {
	return function.Recv != nil && slices.Contains(wellKnown, function.Name.Name)
}

// isOnExported tells whether a function can be reached by name from outside:
// it has no receiver, or one of an exported type.
func isOnExported(function *ast.FuncDecl) bool {
	if function.Recv == nil {
		return true
	}
	receiver := function.Recv.List[0].Type
	for {
		switch r := receiver.(type) {
		case *ast.StarExpr:
			receiver = r.X
		case *ast.IndexExpr:
			receiver = r.X
		case *ast.IndexListExpr:
			receiver = r.X
		case *ast.Ident:
			return r.IsExported()
		default:
			return false
		}
	}
}
