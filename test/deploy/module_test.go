package deploy

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// module is one folder of Terraform.
type module struct {
	blocks []*hclsyntax.Block
	// declared holds what a reference may begin with, such as var.name, data.aws_vpc.this
	// or aws_security_group.endpoint, and the block or the attribute of a local
	// that declares it.
	declared map[string]hclsyntax.Node
	// used holds what of it something refers to.
	used map[string]bool
}

// sources returns every .tf file below deploy/aws by its path from there.
func sources(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	root := os.DirFS(awsDir)
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == ".terraform":
			return fs.SkipDir // what terraform init has fetched
		case entry.IsDir() || path.Ext(name) != ".tf":
			return nil
		}
		content, err := fs.ReadFile(root, name)
		files[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// load returns the modules by their folders, and what is wrong with the files
// themselves.
func load(files map[string]string) (map[string]*module, []string) {
	var found []string
	modules := map[string]*module{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		content := []byte(files[name])
		if !bytes.Equal(hclwrite.Format(content), content) {
			found = append(found, name+": not formatted: run terraform fmt")
		}
		parsed, diagnostics := hclsyntax.ParseConfig(content, name, hcl.InitialPos)
		if diagnostics.HasErrors() {
			found = append(found, diagnostics.Error())
			continue
		}
		m := modules[path.Dir(name)]
		if m == nil {
			m = &module{declared: map[string]hclsyntax.Node{}, used: map[string]bool{}}
			modules[path.Dir(name)] = m
		}
		for _, b := range parsed.Body.(*hclsyntax.Body).Blocks {
			m.blocks = append(m.blocks, b)
			found = append(found, m.declare(b)...)
		}
	}
	return modules, found
}

// declare takes up what a block declares.
func (m *module) declare(b *hclsyntax.Block) []string {
	names := map[string]hclsyntax.Node{}
	switch b.Type {
	case "variable":
		names["var."+b.Labels[0]] = b
	case "output", "module":
		names[b.Type+"."+b.Labels[0]] = b
	case "data":
		names["data."+b.Labels[0]+"."+b.Labels[1]] = b
	case "resource":
		names[b.Labels[0]+"."+b.Labels[1]] = b
	case "locals":
		for name, a := range b.Body.Attributes {
			names["local."+name] = a
		}
	case "terraform", "provider":
	default:
		return []string{at(b) + "what is a block " + b.Type + "? Then add it here"}
	}
	var found []string
	for name, node := range names {
		if m.declared[name] != nil {
			found = append(found, at(node)+name+" is there twice")
		}
		m.declared[name] = node
	}
	return found
}

// check says what is wrong with the files, with what they declare and with what
// they refer to.
func check(files map[string]string) []string {
	modules, found := load(files)
	for _, dir := range slices.Sorted(maps.Keys(modules)) {
		m := modules[dir]
		for _, b := range m.blocks {
			found = append(found, checkBlock(b)...)
			_, each := b.Body.Attributes["for_each"]
			_, count := b.Body.Attributes["count"]
			allowed := map[string]bool{"each": each, "count": count, "path": true, "terraform": true}
			self := b.Type + "." + strings.Join(b.Labels, ".")
			if b.Type == "variable" {
				self = "var." + b.Labels[0]
			}
			before := m.used[self]
			found = append(found, m.checkBody(b.Body, allowed, modules, dir)...)
			m.used[self] = before // a validation of a variable is no use of it
			if b.Type == "module" {
				found = append(found, checkCall(b, modules, dir)...)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(m.declared)) {
			kind, _, _ := strings.Cut(name, ".")
			if slices.Contains([]string{"var", "local", "data"}, kind) && !m.used[name] {
				found = append(found, at(m.declared[name])+name+" is used by nothing")
			}
		}
	}
	return found
}

// checkBlock: what somebody else reads or sets says what it is.
func checkBlock(b *hclsyntax.Block) []string {
	wants := map[string][]string{"variable": {"description", "type"}, "output": {"description", "value"}}[b.Type]
	var found []string
	for _, name := range wants {
		if b.Body.Attributes[name] == nil {
			found = append(found, fmt.Sprintf("%s%s %s has no %s", at(b), b.Type, b.Labels[0], name))
		}
	}
	if d := b.Body.Attributes["description"]; d != nil && len(wants) > 0 {
		if v, diagnostics := d.Expr.Value(nil); diagnostics.HasErrors() || !strings.HasSuffix(v.AsString(), ".") {
			found = append(found, fmt.Sprintf("%s%s %s: a description is a sentence", at(b), b.Type, b.Labels[0]))
		}
	}
	if d := b.Body.Attributes["description"]; d != nil && b.Type == "resource" && strings.Contains(b.Labels[0], "security_group") {
		if v, diagnostics := d.Expr.Value(nil); diagnostics.HasErrors() || !groupDescription.MatchString(v.AsString()) {
			found = append(found, at(d)+"AWS takes no such description of a security group or its rule")
		}
	}
	return found
}

// groupDescription is what AWS takes.
var groupDescription = regexp.MustCompile(`^[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}$`)

// checkBody looks at each reference of a body and of the blocks in it. allowed
// are the roots that the place gives.
func (m *module) checkBody(body *hclsyntax.Body, allowed map[string]bool, modules map[string]*module, dir string) []string {
	var found []string
	for name, a := range body.Attributes {
		if name == "type" || name == "ignore_changes" {
			continue // words of Terraform's, and no references; a type of a principal has none
		}
		for _, reference := range a.Expr.Variables() {
			if fault := m.checkReference(reference, allowed, modules, dir); fault != "" {
				found = append(found, at(a)+fault)
			}
		}
	}
	for _, inner := range body.Blocks {
		roots := maps.Clone(allowed)
		if inner.Type == "dynamic" {
			roots[inner.Labels[0]] = true
		}
		found = append(found, m.checkBody(inner.Body, roots, modules, dir)...)
	}
	return found
}

// checkReference says what is wrong with one reference; "" is nothing.
func (m *module) checkReference(reference hcl.Traversal, allowed map[string]bool, modules map[string]*module, dir string) string {
	if there, special := allowed[reference.RootName()]; special {
		if !there {
			return reference.RootName() + " is there only with for_each or count"
		}
		return ""
	}
	parts := []string{reference.RootName()}
	for _, step := range reference[1:] {
		if a, ok := step.(hcl.TraverseAttr); ok {
			parts = append(parts, a.Name)
		}
	}
	n := 2
	if parts[0] == "data" {
		n = 3
	}
	name := strings.Join(parts[:min(n, len(parts))], ".")
	declaration := m.declared[name]
	if declaration == nil {
		return "nothing declares " + name
	}
	m.used[name] = true
	if call, ok := declaration.(*hclsyntax.Block); ok && call.Type == "module" {
		called := modules[calledDir(call, dir)]
		if len(parts) < 3 || called == nil || called.declared["output."+parts[2]] == nil {
			return "no output of a module is " + strings.Join(parts, ".")
		}
	}
	return ""
}

// checkCall: a module gets what it asks for, and nothing else.
func checkCall(call *hclsyntax.Block, modules map[string]*module, dir string) []string {
	called := modules[calledDir(call, dir)]
	if called == nil {
		return []string{at(call) + "there is no module where source says"}
	}
	var found []string
	for name := range call.Body.Attributes {
		if !slices.Contains([]string{"source", "for_each", "count", "providers", "depends_on"}, name) && called.declared["var."+name] == nil {
			found = append(found, at(call)+"the module has no variable "+name)
		}
	}
	for _, b := range called.blocks {
		if b.Type == "variable" && b.Body.Attributes["default"] == nil && call.Body.Attributes[b.Labels[0]] == nil {
			found = append(found, at(call)+"the module needs "+b.Labels[0])
		}
	}
	return found
}

func calledDir(call *hclsyntax.Block, dir string) string {
	source := call.Body.Attributes["source"]
	if source == nil {
		return ""
	}
	v, diagnostics := source.Expr.Value(nil)
	if diagnostics.HasErrors() {
		return ""
	}
	return path.Join(dir, v.AsString())
}

// at is the place of a node, as editors take it.
func at(node hclsyntax.Node) string {
	r := node.Range()
	return fmt.Sprintf("%s:%d: ", r.Filename, r.Start.Line)
}
