package openapi

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"slices"
	"strings"
)

//go:embed page.html
var pageTemplate string

//go:embed page.css
var pageStyle string

//go:embed page.js
var pageScript string

// page is what the template shows.
type page struct {
	Title, Version, Summary string
	Intro                   template.HTML
	Sections                []heading // of the intro
	Tags                    []tag
	Schemas                 []schemaView
	Style                   template.CSS
	Script                  template.JS
}

// tag is a group of operations.
type tag struct {
	ID, Name   string
	About      template.HTML
	Operations []operation
}

// operation is one method of one path.
type operation struct {
	ID, Method, Path, Summary string
	About                     template.HTML
	// Who may: in words.
	Who        template.HTML
	Parameters []field
	Body       *bodyView
	Answers    []answer
	Errors     []errorView
	Samples    []sample
}

// bodyView is a body by its media types, which have the same schema.
type bodyView struct {
	MediaTypes []string
	Schema     schemaView
}

// answer is one status that is no error.
type answer struct {
	Status  string
	About   template.HTML
	Headers []field
	Bodies  []mediaView
}

// mediaView is one media type of an answer.
type mediaView struct {
	MediaType string
	About     template.HTML
	// Parts are what the body is made of: itself, or kinds of events and pieces.
	Parts    []part
	Trailers []field
}

type part struct {
	Name   string
	Schema schemaView
}

// errorView is one code of one status.
type errorView struct {
	Status, Code string
	When         template.HTML
}

// sample is something to copy, or to look at.
type sample struct {
	Label string
	Text  template.HTML
	// Folded samples show when asked for.
	Folded bool
}

// newPage renders the document.
func newPage(root *node) (File, error) {
	v := &view{root: root}
	p := page{
		Title: root.get("info", "title").str(), Version: root.get("info", "version").str(), Summary: root.get("info", "summary").str(),
		Style: template.CSS(pageStyle), Script: template.JS(pageScript),
	}
	p.Intro, p.Sections = markdown(root.get("info", "description").str())
	for _, t := range root.get("tags").list() {
		p.Tags = append(p.Tags, v.tag(t))
	}
	for _, s := range root.get("components", "schemas").pairs() {
		if isShown(s.value) {
			p.Schemas = append(p.Schemas, v.schema(s.name, s.value))
		}
	}
	tmpl, err := template.New("page").Parse(pageTemplate)
	if err != nil {
		return File{}, err
	}
	var html bytes.Buffer
	if err := tmpl.Execute(&html, p); err != nil {
		return File{}, fmt.Errorf("render the page: %w", err)
	}
	return File{
		MediaType: "text/html; charset=utf-8", Body: html.Bytes(), ETag: etag(html.Bytes()),
		Policy: "default-src 'none'; style-src " + sourceHash(pageStyle) + "; script-src " + sourceHash(pageScript) +
			"; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	}, nil
}

// view reads the document for the page.
type view struct{ root *node }

func (v *view) tag(t *node) tag {
	name := t.get("name").str()
	shown := tag{ID: "tag-" + name, Name: name, About: text(t.get("description"))}
	for _, path := range v.root.get("paths").pairs() {
		for _, m := range path.value.pairs() {
			if tags := m.value.get("tags").list(); len(tags) > 0 && tags[0].str() == name {
				shown.Operations = append(shown.Operations, v.operation(m.name, path.name, path.value, m.value))
			}
		}
	}
	return shown
}

func (v *view) operation(method, path string, item, op *node) operation {
	o := operation{
		ID: op.get("operationId").str(), Method: strings.ToUpper(method), Path: path,
		Summary: op.get("summary").str(), About: text(op.get("description")), Who: who(op),
	}
	for _, p := range append(slices.Clone(item.get("parameters").list()), op.get("parameters").list()...) {
		o.Parameters = append(o.Parameters, v.parameter(p))
	}
	if content := op.get("requestBody", "content").pairs(); len(content) > 0 {
		schema, name := content[0].value.get("schema").follow(v.root)
		o.Body = &bodyView{Schema: v.schema(name, schema)}
		for _, media := range content {
			o.Body.MediaTypes = append(o.Body.MediaTypes, media.name)
		}
	}
	for _, r := range op.get("responses").pairs() {
		response, _ := r.value.follow(v.root)
		if errors := v.errors(r.name, response); r.name >= "400" && len(errors) > 0 {
			o.Errors = append(o.Errors, errors...)
		} else {
			o.Answers = append(o.Answers, v.answer(r.name, response))
		}
	}
	o.Samples = v.samples(o.Method, path, item, op)
	return o
}

// who says in words who may use an operation.
func who(op *node) template.HTML {
	requirements := op.get("security").list()
	if len(requirements) == 0 {
		return "Anyone, without a token."
	}
	roles := requirements[0].get("token").list()
	switch {
	case len(roles) == 0:
		return "Any token."
	case roles[0].str() == "admin":
		return "The admin's token."
	}
	return inline("A token with the scope `" + roles[0].str() + "`.")
}

func (v *view) parameter(p *node) field {
	p, _ = p.follow(v.root)
	f := v.field(p.get("name").str(), p.get("schema"), p.get("required").is())
	f.In = p.get("in").str()
	f.About = text(p.get("description"))
	if example := p.get("example"); example != nil {
		f.Rules = append(f.Rules, inline("for example `"+example.str()+"`"))
	}
	return f
}

// header is a header or a trailer.
func (v *view) header(name string, h *node) field {
	h, _ = h.follow(v.root)
	schema := h.get("schema")
	if schema == nil {
		schema = h.get("content", "application/json", "schema")
	}
	f := v.field(name, schema, false)
	f.About = text(h.get("description"))
	return f
}

// everywhere are headers that the intro speaks of, or that tell a reader nothing.
var everywhere = []string{"X-Request-Id", "X-Content-Type-Options", "Cache-Control", "X-Accel-Buffering",
	"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"}

func (v *view) answer(status string, response *node) answer {
	a := answer{Status: status, About: text(response.get("description"))}
	for _, h := range response.get("headers").pairs() {
		if !slices.Contains(everywhere, h.name) {
			a.Headers = append(a.Headers, v.header(h.name, h.value))
		}
	}
	for _, media := range response.get("content").pairs() {
		a.Bodies = append(a.Bodies, v.media(media.name, media.value))
	}
	return a
}

func (v *view) media(name string, media *node) mediaView {
	schema := media.get("schema")
	shown := mediaView{MediaType: name}
	if schema.get("$ref") == nil {
		shown.About = text(schema.get("description"))
	}
	add := func(name string, schema *node) {
		if ref := schema.get("$ref"); ref != nil {
			target, component := schema.follow(v.root)
			shown.Parts = append(shown.Parts, part{name, v.schema(component, target)})
		}
	}
	add("", schema)
	add("each line", schema.get("contentSchema"))
	for _, e := range media.get("x-events").pairs() {
		add("event "+e.name, e.value)
	}
	add("the last piece", media.get("x-lastPiece"))
	for _, t := range media.get("x-trailers").pairs() {
		shown.Trailers = append(shown.Trailers, v.header(t.name, t.value))
	}
	return shown
}

func (v *view) errors(status string, response *node) []errorView {
	meanings := v.root.get("components", "schemas", "ErrorCode", "x-enumDescriptions")
	var shown []errorView
	for _, code := range response.get("content", "application/json", "schema", "properties", "code", "enum").list() {
		shown = append(shown, errorView{status, code.str(), text(meanings.get(code.str()))})
	}
	return shown
}
