package openapi

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"sallyport/client/sallyport"
)

func newRoot(t testing.TB) *node {
	t.Helper()
	root, err := parse(Document())
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// TestDocumentIsOpenAPI: by another's reading of the specification, with every
// example valid by its schema.
func TestDocumentIsOpenAPI(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(Document())
	if err != nil {
		t.Fatal(err)
	}
	if !doc.IsOpenAPI31OrLater() {
		t.Errorf("it is of version %s", doc.OpenAPI)
	}
	if err := doc.Validate(t.Context(), openapi3.EnableExamplesValidation(), openapi3.EnableSchemaPatternValidation(),
		openapi3.EnableSchemaFormatValidation(), openapi3.EnableMultiError()); err != nil {
		t.Error(err)
	}
}

// TestDocumentIsOpenAPI31: by the schema of OpenAPI 3.1 itself (OpenAPI Initiative,
// Apache-2.0), which knows of every object which members it takes.
func TestDocumentIsOpenAPI31(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("testdata/oas-3.1.json")
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(Document()))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Error(err)
	}
}

// TestSchemas: each is one by the dialect of its own, JSON Schema 2020-12, and has no
// keyword that the dialect lacks: a typing error would be a rule that holds nobody.
func TestSchemas(t *testing.T) {
	known := []string{"$ref", "description", "type", "format", "enum", "const", "default", "examples", "pattern", "properties", "required",
		"additionalProperties", "propertyNames", "items", "oneOf", "not", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
		"uniqueItems", "maxProperties", "contentMediaType", "contentEncoding", "contentSchema", "x-enumDescriptions"}
	root := newRoot(t)
	check := func(s *node) {
		for _, m := range s.pairs() {
			if !slices.Contains(known, m.name) {
				t.Errorf("a schema has %s", m.name)
			}
		}
	}
	root.eachMember("schema", check)
	for _, s := range root.get("components", "schemas").pairs() {
		check(s.value)
		for _, p := range s.value.get("properties").pairs() {
			check(p.value)
		}
	}
}

// TestErrorCodes: the document has the codes of error.go, and no others.
func TestErrorCodes(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../client/sallyport/error.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Code" {
			code, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, code)
		}
		return true
	})
	got := values(newRoot(t).get("components", "schemas", "ErrorCode", "enum"))
	slices.Sort(want)
	slices.Sort(got)
	if len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("the document has %v\nerror.go has %v", got, want)
	}
}

// TestReasons: the document has the reasons of error.go, and no others.
func TestReasons(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../client/sallyport/error.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, "Reason") {
			reason, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, reason)
		}
		return true
	})
	got := values(newRoot(t).get("components", "schemas", "Reason", "enum"))
	slices.Sort(want)
	slices.Sort(got)
	if len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("the document has %v\nerror.go has %v", got, want)
	}
}

// TestErrorCodesCome: each code is one of some answer, or of a stream's end.
func TestErrorCodesCome(t *testing.T) {
	root := newRoot(t)
	var come []string
	root.eachMember("enum", func(enum *node) { come = append(come, values(enum)...) })
	for _, code := range values(root.get("components", "schemas", "ErrorCode", "enum")) {
		n := 0
		for _, c := range come {
			if c == code {
				n++
			}
		}
		if n < 2 { // in the list itself
			t.Errorf("%s comes nowhere", code)
		}
	}
}

// eachMember calls f for every member called name below n.
func (n *node) eachMember(name string, f func(*node)) {
	for _, m := range n.children() {
		if m.name == name {
			f(m.value)
		}
		m.value.eachMember(name, f)
	}
}

func values(list *node) []string {
	var all []string
	for _, item := range list.list() {
		all = append(all, item.str())
	}
	return all
}

// wireTypes are the schemas that are a Go type on our side. extra are fields that the
// type doesn't have, and lacks fields that the schema doesn't.
var wireTypes = []struct {
	schema string
	of     any
	extra  []string
	lacks  []string
	// asked: of a request, where the zero value asks for a default.
	asked bool
}{
	{schema: "ExecRequest", of: sallyport.ExecRequest{}, extra: []string{"stdin"}, asked: true},
	{schema: "ExecResult", of: sallyport.ExecResult{}},
	{schema: "Error", of: sallyport.Error{}},
	{schema: "Workspace", of: sallyport.Workspace{}},
	{schema: "WorkspaceCreate", of: sallyport.WorkspaceCreate{}, asked: true},
	{schema: "WorkspacePatch", of: sallyport.WorkspacePatch{}, asked: true},
	{schema: "Connector", of: sallyport.Connector{}},
	{schema: "ConnectorAuth", of: sallyport.ConnectorAuth{}},
	{schema: "Connection", of: sallyport.Connection{}},
	{schema: "ConnectionError", of: sallyport.ConnectionError{}},
	{schema: "Diagnosis", of: sallyport.Diagnosis{}},
	{schema: "DiagnosisStep", of: sallyport.DiagnosisStep{}},
	{schema: "Activity", of: sallyport.Activity{}},
	{schema: "Token", of: sallyport.Token{}, lacks: []string{"token"}},
	{schema: "CreatedToken", of: createdToken{}},
	{schema: "TokenCreate", of: sallyport.TokenCreate{}, asked: true},
	{schema: "Org", of: sallyport.Org{}},
	{schema: "OrgLimits", of: sallyport.OrgLimits{}},
	{schema: "OrgCreate", of: sallyport.OrgCreate{}, asked: true},
	{schema: "OrgPatch", of: sallyport.OrgPatch{}, asked: true},
	{schema: "CAKey", of: sallyport.CAKey{}},
	{schema: "CARotate", of: sallyport.CARotate{}, asked: true},
	{schema: "CAKeyList", of: sallyport.List[sallyport.CAKey]{}},
	{schema: "Session", of: sallyport.Session{}},
	{schema: "OrgList", of: sallyport.List[sallyport.Org]{}},
	{schema: "WorkspaceList", of: sallyport.List[sallyport.Workspace]{}},
	{schema: "TokenList", of: sallyport.List[sallyport.Token]{}},
	{schema: "Attachment", of: sallyport.Attachment{}},
	{schema: "Attached", of: sallyport.Attached{}},
	{schema: "AttachmentList", of: sallyport.List[sallyport.Attachment]{}},
	{schema: "AttachmentCopy", of: sallyport.AttachmentCopy{}, asked: true},
	{schema: "ActivityList", of: sallyport.List[sallyport.Activity]{}},
}

// createdToken is a token whose secret is there.
type createdToken struct {
	sallyport.Token
	Secret string `json:"token"`
}

// TestFields: the fields of the wire types are those of the schemas, and what is
// always there is required.
func TestFields(t *testing.T) {
	schemas := newRoot(t).get("components", "schemas")
	for _, w := range wireTypes {
		schema := schemas.get(w.schema)
		if schema.get("additionalProperties").str() != "false" {
			t.Errorf("%s takes fields that are not described", w.schema)
		}
		fields := map[string]bool{}
		fieldsOf(reflect.TypeOf(w.of), fields)
		for _, name := range w.extra {
			fields[name] = false
		}
		for _, name := range w.lacks {
			delete(fields, name)
		}
		required := values(schema.get("required"))
		for name, always := range fields {
			if schema.get("properties", name) == nil {
				t.Errorf("%s lacks %s", w.schema, name)
			}
			if slices.Contains(required, name) != always {
				t.Errorf("%s.%s: required is %t, and the type says %t", w.schema, name, !always, always)
			}
		}
		for _, p := range schema.get("properties").pairs() {
			if _, ok := fields[p.name]; !ok {
				t.Errorf("%s.%s: the type has no such field", w.schema, p.name)
			}
		}
	}
}

// fieldsOf collects the JSON fields of a struct, and whether they are always there.
func fieldsOf(of reflect.Type, fields map[string]bool) {
	for i := range of.NumField() {
		f := of.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			fieldsOf(f.Type, fields)
		case name != "-":
			fields[name] = options == ""
		}
	}
}

// TestClosedSets: what is one of a list in Go is one of the same list here.
func TestClosedSets(t *testing.T) {
	schemas := newRoot(t).get("components", "schemas")
	var scopes []string
	for _, s := range sallyport.AllScopes() {
		scopes = append(scopes, string(s))
	}
	if got := values(schemas.get("Scope", "enum")); !slices.Equal(got, scopes) {
		t.Errorf("scopes %v, want %v", got, scopes)
	}
	var defaults []string
	for _, s := range sallyport.DefaultScopes() {
		defaults = append(defaults, string(s))
	}
	if got := values(schemas.get("TokenCreate", "properties", "scopes", "default")); !slices.Equal(got, defaults) {
		t.Errorf("default scopes %v, want %v", got, defaults)
	}
	for schema, prefix := range map[string]string{"ActivityType": "Activity", "ActivityStatus": "Status"} {
		want := constants(t, "../../client/sallyport/activity.go", prefix)
		got := values(schemas.get(schema, "enum"))
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s %v, want %v", schema, got, want)
		}
	}
}

// constants are the values of a file's constants whose names begin with prefix.
func constants(t *testing.T, path, prefix string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, prefix) {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, value)
		return true
	})
	slices.Sort(found)
	return found
}

// TestOperations: each says what a reader and a generator of clients need.
func TestOperations(t *testing.T) {
	root := newRoot(t)
	seen := map[string]bool{}
	for _, path := range root.get("paths").pairs() {
		for _, m := range path.value.pairs() {
			if m.name == "parameters" {
				continue
			}
			op, what := m.value, m.name+" "+path.name
			id := op.get("operationId").str()
			if id == "" || seen[id] || op.get("summary").str() == "" || op.get("security") == nil || len(op.get("tags").list()) != 1 {
				t.Errorf("%s: operationId %q must be its own; summary, security and one tag are needed", what, id)
			}
			seen[id] = true
			for _, r := range op.get("responses").pairs() {
				response, _ := r.value.follow(root)
				for _, media := range response.get("content").pairs() {
					if media.value.get("examples") == nil && media.name != "text/html" && path.name != "/openapi.json" && path.name != "/metrics" {
						t.Errorf("%s: %s %s has no example", what, r.name, media.name)
					}
				}
			}
			for _, media := range op.get("requestBody", "content").pairs() {
				if media.value.get("examples") == nil {
					t.Errorf("%s: the request has no example", what)
				}
			}
		}
	}
}
