package house

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// modulePath is where the import paths of the repository's packages begin.
const modulePath = "sallyport"

// clientModule is the folder of the client's module, which is a part of the house too.
const clientModule = "client"

// tree is the repository's Go code as it stands in its files. It is parsed
// rather than listed by the go command, so that files for other systems count
// too and every finding has its line.
type tree struct {
	fset     *token.FileSet
	packages []*pkg // in the order of their folders
}

// pkg is one folder with Go files, its tests among them.
type pkg struct {
	dir   string // from the root, with slashes; "." is the root
	files []*file
}

// file is one parsed Go file.
type file struct {
	path   string // from the root, with slashes
	isTest bool
	lines  int
	syntax *ast.File
}

// finding is one violation of one rule.
type finding struct {
	rule string
	// where is file:line, or the folder of a package.
	where string
	// subject is what an exception names: the file or the folder, and for a
	// rule about functions the function's name after a blank.
	subject string
	// message says what is wrong and what to do.
	message string
}

// String returns the finding as one line that an editor can jump from.
func (f finding) String() string {
	return fmt.Sprintf("%s: %s (rule: %s)", f.where, f.message, f.rule)
}

// load parses every Go file of the module whose root is fsys.
func load(fsys fs.FS) (*tree, error) {
	t := &tree{fset: token.NewFileSet()}
	folders := map[string]*pkg{}
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && isForeign(fsys, name):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(name) != ".go" || isHidden(path.Base(name)):
			return nil
		}
		f, err := t.parse(fsys, name)
		if err != nil {
			return err
		}
		if ast.IsGenerated(f.syntax) {
			return nil
		}
		dir := path.Dir(name)
		if folders[dir] == nil {
			folders[dir] = &pkg{dir: dir}
			t.packages = append(t.packages, folders[dir])
		}
		folders[dir].files = append(folders[dir].files, f)
		return nil
	})
	slices.SortFunc(t.packages, func(a, b *pkg) int { return strings.Compare(a.dir, b.dir) })
	return t, err
}

// isForeign tells whether a folder holds no code of this module: what the go
// command leaves out too, packages of npm, and modules of their own.
func isForeign(fsys fs.FS, dir string) bool {
	if dir == "." {
		return false
	}
	base := path.Base(dir)
	if base == "testdata" || base == "node_modules" || base == "vendor" || isHidden(base) {
		return true
	}
	_, err := fs.Stat(fsys, path.Join(dir, "go.mod"))
	return err == nil && dir != clientModule
}

// isHidden tells whether the go command passes a name over.
func isHidden(base string) bool { return base[0] == '.' || base[0] == '_' }

func (t *tree) parse(fsys fs.FS, name string) (*file, error) {
	source, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, err
	}
	syntax, err := parser.ParseFile(t.fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &file{
		path:   name,
		isTest: strings.HasSuffix(name, "_test.go"),
		lines:  bytes.Count(source, []byte("\n")),
		syntax: syntax,
	}, nil
}

// at returns file:line of a node.
func (t *tree) at(node ast.Node) string {
	p := t.fset.Position(node.Pos())
	return p.Filename + ":" + strconv.Itoa(p.Line)
}

// line returns the line that a position stands on.
func (t *tree) line(pos token.Pos) int { return t.fset.Position(pos).Line }

// importPath returns what a spec imports: a folder of this module ("." is its
// root), or the import path of another's package.
func importPath(spec *ast.ImportSpec) string {
	// The parser has seen to it that the literal is well formed.
	imported, _ := strconv.Unquote(spec.Path.Value)
	if imported == modulePath {
		return "."
	}
	return strings.TrimPrefix(imported, modulePath+"/")
}

// isOurs tells whether a spec imports a package of this module.
func isOurs(spec *ast.ImportSpec) bool {
	return strings.HasPrefix(spec.Path.Value, `"`+modulePath+`"`) ||
		strings.HasPrefix(spec.Path.Value, `"`+modulePath+`/`)
}

// isStandard tells whether a spec imports a package of the standard library:
// those alone have no dot in the first element of their path.
func isStandard(spec *ast.ImportSpec) bool {
	first, _, _ := strings.Cut(importPath(spec), "/")
	return !isOurs(spec) && !strings.Contains(first, ".")
}

// matches tells whether a path is one of the patterns; "x/..." is x and all
// that is below it.
func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		above, deep := strings.CutSuffix(pattern, "/...")
		return name == above || deep && strings.HasPrefix(name, above+"/")
	})
}
