// Package spec holds the answers of a server to the document of its API: one whose
// status, header, media type or body the document doesn't have fails its test.
//
// kin-openapi's own filter knows OpenAPI 3.1, but lets pass what is not described
// (headers, answers to HEAD, 304, bodies without a schema) and compiles a schema
// anew for each answer. So the walk through the document is here, and the judgement
// of values is that of the same JSON Schema engine, compiled once.
package spec

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"sallyport/internal/openapi"
)

// Exchange is a request and what was answered.
type Exchange struct {
	Method string
	URL    *url.URL
	// Asked is the request's body; nil when it is not known.
	Asked []byte

	Status  int
	Header  http.Header
	Trailer http.Header
	Body    []byte
	// Whole tells that Body was read to its end.
	Whole bool
}

// document is the API's document, ready for answers to be held to it. It is safe for
// concurrent use.
type document struct {
	root any
	mux  *http.ServeMux // from paths to patterns

	mu       sync.Mutex // guards the fields below
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema // by JSON pointer
}

// base is where the document stands, for its own references.
const base = "https://sallyport.example/openapi.json"

// load reads the document, once for all tests.
var load = sync.OnceValues(func() (*document, error) {
	root, err := jsonschema.UnmarshalJSON(bytes.NewReader(openapi.Document()))
	if err != nil {
		return nil, err
	}
	d := &document{root: root, mux: http.NewServeMux(), compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	d.compiler.AssertContent()
	if err := d.compiler.AddResource(base, root); err != nil {
		return nil, err
	}
	paths, _ := d.at("/paths").value.(map[string]any)
	for pattern := range paths {
		d.mux.HandleFunc(strings.Replace(pattern, restOfPath, "/{path...}", 1), http.NotFound)
	}
	return d, nil
})

// Check returns what the document doesn't have of an exchange, or nil.
func Check(e Exchange) error {
	d, err := load()
	if err != nil {
		return err
	}
	response, op := d.response(e)
	if !response.is() {
		return fmt.Errorf("%s %s: the document has no answer %d there", e.Method, e.URL.Path, e.Status)
	}
	for _, check := range []func(place, Exchange) error{d.checkHeaders, d.checkContent} {
		if err := check(response, e); err != nil {
			return fmt.Errorf("%s %s: answer %d (%s): %w", e.Method, e.URL.Path, e.Status, response.pointer, err)
		}
	}
	mayLack := op.child("requestBody", "required").value != true
	if asked := op.child("requestBody", "content", "application/json", "schema"); asked.is() && e.Asked != nil && e.Status < 300 {
		isForm := op.child("requestBody", "content", "multipart/form-data").is() && bytes.HasPrefix(e.Asked, []byte("--"))
		if len(e.Asked) == 0 && mayLack || isForm {
			return nil
		}
		if err := d.checkJSON(asked, e.Asked); err != nil {
			return fmt.Errorf("%s %s took a body that the document doesn't: %w", e.Method, e.URL.Path, err)
		}
	}
	return nil
}

// CheckValue returns what a JSON text has that the schema of that name doesn't, or nil.
func CheckValue(schema string, text []byte) error {
	d, err := load()
	if err != nil {
		return err
	}
	return d.checkJSON(d.at("/components/schemas/"+schema), text)
}

// CheckRead is Check for an answer that was read from a connection, to the request
// for target.
func CheckRead(method, target string, resp *http.Response, body []byte) error {
	at, err := url.ParseRequestURI(target)
	if err != nil {
		return err
	}
	return Check(Exchange{
		Method: method, URL: at, Status: resp.StatusCode, Header: resp.Header, Trailer: resp.Trailer, Body: body, Whole: true,
	})
}

// place is a value of the document and the pointer to it. The zero place is where
// nothing stands.
type place struct {
	document *document
	pointer  string
	value    any
}

func (d *document) at(pointer string) place {
	names := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i, name := range names {
		names[i] = strings.ReplaceAll(strings.ReplaceAll(name, "~1", "/"), "~0", "~")
	}
	return place{d, "", d.root}.child(names...)
}

func (p place) is() bool { return p.value != nil }

// child descends by the names of members, through references.
func (p place) child(names ...string) place {
	for _, name := range names {
		p = p.target()
		members, _ := p.value.(map[string]any)
		p.value = members[name]
		p.pointer += "/" + strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
	}
	return p
}

// target is where a reference leads; what is none stays.
func (p place) target() place {
	members, _ := p.value.(map[string]any)
	if ref, ok := members["$ref"].(string); ok {
		return p.document.at(strings.TrimPrefix(ref, "#")).target()
	}
	return p
}

// names are those of the members.
func (p place) names() []string {
	members, _ := p.target().value.(map[string]any)
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	return names
}

// outside says what answers there are that belong to no operation, since there is no
// such path or method, or the caller was not let so far.
func outside(status int) string {
	return map[int]string{
		http.StatusUnauthorized: "401.unauthenticated", http.StatusForbidden: "CrossOrigin", http.StatusNotFound: "NoRoute",
		http.StatusMethodNotAllowed: "MethodNotAllowed", http.StatusMisdirectedRequest: "421.misdirected_request",
		http.StatusTooManyRequests: "429.rate_limited", http.StatusInternalServerError: "500.internal", http.StatusServiceUnavailable: "503.platform_unavailable",
	}[status]
}

// response is what the document says of an answer, and the operation that it is of.
func (d *document) response(e Exchange) (response, op place) {
	method := e.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if pattern := d.pattern(e); pattern != "" && method == strings.ToUpper(method) {
		op = d.at("/paths").child(pattern, strings.ToLower(method))
	}
	if op.is() {
		return op.child("responses", fmt.Sprint(e.Status)).target(), op
	}
	return d.at("/components/responses").child(outside(e.Status)), op
}

// pattern is the path of the document that a request asks for; "" is none.
func (d *document) pattern(e Exchange) string {
	if clean := path.Clean(e.URL.Path); clean != e.URL.Path && clean+"/" != e.URL.Path {
		return "" // the mux would redirect
	}
	_, pattern := d.mux.Handler(&http.Request{Method: http.MethodGet, URL: e.URL, Host: "localhost"})
	return strings.Replace(pattern, "/{path...}", restOfPath, 1)
}

// restOfPath is the one parameter that may hold slashes, and be empty: OpenAPI has no way to
// say so.
const restOfPath = "/{path}"

// validate judges a value by the schema at p.
func (d *document) validate(p place, value any) error {
	d.mu.Lock()
	schema := d.schemas[p.pointer]
	if schema == nil {
		var err error
		if schema, err = d.compiler.Compile(base + "#" + p.pointer); err != nil {
			d.mu.Unlock()
			return err
		}
		d.schemas[p.pointer] = schema
	}
	d.mu.Unlock()
	return schema.Validate(value)
}

// checkJSON judges one JSON value by the schema at p.
func (d *document) checkJSON(p place, text []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("%.200q: %w", text, err)
	}
	if err := d.validate(p, value); err != nil {
		return fmt.Errorf("%.500s: %w", text, err)
	}
	return nil
}
