package openapi

import (
	"html/template"
	"slices"
	"strconv"
	"strings"
)

// schemaView is a schema in words.
type schemaView struct {
	Name  string
	About template.HTML
	Type  template.HTML
	Rules []template.HTML
	// Values are those of a closed list that have a meaning each.
	Values []value
	Fields []field
}

type value struct {
	Name string
	When template.HTML
}

// field is a member of an object, a parameter or a header.
type field struct {
	Name string
	// In is where a parameter stands.
	In       string
	Required bool
	schemaView
}

// isShown tells whether a schema has a place of its own on the page: what is only a
// string says so where it is used.
func isShown(s *node) bool {
	return s.get("properties") != nil || s.get("oneOf") != nil || s.get("x-enumDescriptions") != nil
}

// schema is a component, or what stands in its place.
func (v *view) schema(name string, s *node) schemaView {
	shown := schemaView{Name: name, About: text(s.get("description")), Type: v.typeOf(s), Rules: v.rules(s)}
	if meanings := s.get("x-enumDescriptions"); meanings != nil {
		for _, item := range s.get("enum").list() {
			shown.Values = append(shown.Values, value{item.str(), text(meanings.get(item.str()))})
		}
	}
	required := s.get("required").list()
	for _, p := range s.get("properties").pairs() {
		isRequired := slices.ContainsFunc(required, func(r *node) bool { return r.str() == p.name })
		f := v.field(p.name, p.value, isRequired)
		if enum := p.value.get("enum"); s.get("$ref") != nil && enum != nil {
			f.Rules = []template.HTML{inline("one of " + alternatives(enum))}
		}
		shown.Fields = append(shown.Fields, f)
	}
	return shown
}

func (v *view) field(name string, s *node, required bool) field {
	target, _ := s.follow(v.root)
	f := field{Name: name, Required: required}
	f.Type = v.typeOf(s)
	f.About = text(s.get("description"))
	if f.About == "" && !isShown(target) {
		f.About = text(target.get("description"))
	}
	if !isShown(target) {
		f.Rules = v.rules(target)
	}
	return f
}

// typeOf says what sort of value a schema is of, with a link to what has a place of
// its own.
func (v *view) typeOf(s *node) template.HTML {
	target, name := s.follow(v.root)
	switch {
	case name != "" && isShown(target):
		return link(name)
	case target.get("oneOf") != nil:
		return v.either(target.get("oneOf").list())
	}
	types := target.get("type").list()
	if len(types) == 0 && target.get("type") != nil {
		types = []*node{target.get("type")}
	}
	var words []string
	for _, t := range types {
		words = append(words, string(v.word(t.str(), target)))
	}
	if len(words) == 0 && target.get("const") != nil {
		return "string"
	}
	return template.HTML(strings.Join(words, " or "))
}

func (v *view) either(list []*node) template.HTML {
	var words []string
	for _, one := range list {
		words = append(words, string(v.typeOf(one)))
	}
	return template.HTML(strings.Join(words, " or "))
}

func (v *view) word(kind string, s *node) template.HTML {
	switch kind {
	case "array":
		if items := s.get("items"); items != nil {
			return "array of " + v.manyOf(items)
		}
	case "object":
		if values := s.get("additionalProperties"); values.get("type") != nil {
			return "object of " + v.manyOf(values)
		}
	}
	return template.HTML(template.HTMLEscapeString(kind))
}

// manyOf is typeOf for several.
func (v *view) manyOf(s *node) template.HTML {
	switch one := v.typeOf(s); {
	case strings.Contains(string(one), " or "):
		return "(" + one + ")"
	case strings.HasPrefix(string(one), "<"): // a link
		return one
	default:
		return one + "s"
	}
}

// link leads to a schema's own place.
func link(name string) template.HTML {
	escaped := template.HTMLEscapeString(name)
	return template.HTML(`<a href="#schema-` + escaped + `">` + escaped + `</a>`)
}

// rules are what a value must keep, in words.
func (v *view) rules(s *node) []template.HTML {
	var rules []template.HTML
	add := func(words string) { rules = append(rules, inline(words)) }
	if format := s.get("format").str(); format != "" {
		add(format)
	}
	if only := s.get("const"); only != nil {
		add("always `" + only.str() + "`")
	}
	if enum := s.get("enum"); enum != nil && s.get("x-enumDescriptions") == nil {
		add("one of " + alternatives(enum))
	}
	for _, r := range []struct{ least, most, unit string }{
		{"minimum", "maximum", ""}, {"minLength", "maxLength", " characters"},
		{"minItems", "maxItems", " items"}, {"minProperties", "maxProperties", " members"},
	} {
		if words := between(s.get(r.least).str(), s.get(r.most).str()); words != "" {
			add(words + r.unit)
		}
	}
	if pattern := s.get("pattern").str(); pattern != "" && s.get("format") == nil { // a format says it in a word
		add("matches `" + pattern + "`")
	}
	if pattern := s.get("propertyNames", "pattern").str(); pattern != "" {
		add("names match `" + pattern + "`")
	}
	if d := s.get("default"); d != nil {
		add("default `" + d.json(sampleColumnsMax) + "`")
	}
	return rules
}

func alternatives(enum *node) string {
	var names []string
	for _, item := range enum.list() {
		names = append(names, "`"+item.str()+"`")
	}
	return strings.Join(names, ", ")
}

func between(least, most string) string {
	least, most = grouped(least), grouped(most)
	switch {
	case least != "" && most != "":
		return least + " to " + most
	case least != "":
		return "at least " + least
	case most != "":
		return "at most " + most
	}
	return ""
}

// grouped writes a number with commas between its thousands.
func grouped(number string) string {
	if _, err := strconv.ParseUint(number, 10, 64); err != nil {
		return number
	}
	for i := len(number) - 3; i > 0; i -= 3 {
		number = number[:i] + "," + number[i:]
	}
	return number
}
