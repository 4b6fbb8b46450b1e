package openapi

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v3"
)

// source is openapi.yaml on its way to openapi.json.
type source struct {
	root  *node
	codes *node
	// shared are the responses of errors, by name.
	shared map[string]*node
}

// Expand makes the document from its source in YAML, as the head of openapi.yaml says.
func Expand(text []byte) ([]byte, error) {
	var y yaml.Node
	if err := yaml.Unmarshal(text, &y); err != nil {
		return nil, err
	}
	root, err := fromYAML(y.Content[0])
	if err != nil {
		return nil, err
	}
	s := &source{root: root, codes: root.take("codes"), shared: map[string]*node{}}
	for _, path := range root.get("paths").pairs() {
		for _, m := range path.value.pairs() {
			if m.name != "parameters" {
				if err := s.operation(m.value); err != nil {
					return nil, fmt.Errorf("%s %s: %w", m.name, path.name, err)
				}
			}
		}
	}
	if err := s.components(); err != nil {
		return nil, err
	}
	return []byte(root.json(100) + "\n"), nil
}

func (s *source) operation(op *node) error {
	responses := op.get("responses")
	own := object()
	for _, r := range responses.pairs() { // they may be shared with another operation
		own.set(r.name, s.withCommonHeaders(r.value))
	}
	headers := op.take("errorHeaders")
	byStatus, err := s.byStatus(op.take("errors"))
	if err != nil {
		return err
	}
	for _, e := range byStatus {
		name := e.status + "." + strings.Join(e.codes, ".")
		response := s.errorResponse("", e, headers)
		if headers != nil {
			own.set(e.status, response)
			continue
		}
		s.shared[name] = response
		own.set(e.status, object(member{"$ref", str("#/components/responses/" + name)}))
	}
	slices.SortFunc(own.members, func(a, b member) int { return strings.Compare(a.name, b.name) })
	op.set("responses", own)
	return nil
}

// components fills in what the operations need.
func (s *source) components() error {
	responses := s.root.get("components", "responses")
	for _, r := range responses.pairs() {
		byStatus, err := s.byStatus(r.value.take("errors"))
		if err != nil || len(byStatus) != 1 {
			return fmt.Errorf("response %s: %d statuses, %w", r.name, len(byStatus), err)
		}
		responses.set(r.name, s.errorResponse(r.value.get("description").str(), byStatus[0], nil))
	}
	names := make([]string, 0, len(s.shared))
	for name := range s.shared {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		responses.set(name, s.shared[name])
	}
	examples, enum, meanings := object(), &node{kind: '['}, object()
	for _, c := range s.codes.pairs() {
		enum.items = append(enum.items, str(c.name))
		meanings.set(c.name, c.value.get("when"))
		if c.value.get("status") != nil {
			examples.set(c.name, object(member{"summary", str(c.name)}, member{"value", example(c.name, c.value)}))
		}
		if at422 := c.value.get("at422"); at422 != nil {
			examples.set(c.name+".422", object(member{"summary", str(c.name)}, member{"value", example(c.name, at422)}))
		}
	}
	s.root.get("components").set("examples", examples)
	code := s.root.get("components", "schemas", "ErrorCode")
	code.set("enum", enum)
	code.set("x-enumDescriptions", meanings)
	return nil
}

// statusErrors are the codes that can come with one status.
type statusErrors struct {
	status string
	codes  []string
}

// byStatus groups a list of codes, which may hold lists, in the order of the table.
func (s *source) byStatus(list *node) ([]statusErrors, error) {
	var named []string
	list.flatten(&named)
	var groups []statusErrors
	for _, c := range s.codes.pairs() {
		own := c.value.get("status").str()
		for _, status := range slices.Compact([]string{own, "422"}) {
			wanted := slices.Contains(named, c.name+"@"+status) ||
				status == own && slices.Contains(named, c.name)
			if !wanted {
				continue
			}
			i := slices.IndexFunc(groups, func(g statusErrors) bool { return g.status == status })
			if i < 0 {
				groups = append(groups, statusErrors{status: status})
				i = len(groups) - 1
			}
			groups[i].codes = append(groups[i].codes, c.name)
		}
	}
	total := 0
	for _, g := range groups {
		total += len(g.codes)
	}
	slices.Sort(named)
	if total != len(slices.Compact(named)) {
		return nil, fmt.Errorf("there is a code that the table lacks, or one without a status: %v", named)
	}
	return groups, nil
}

func (s *source) errorResponse(description string, e statusErrors, headers *node) *node {
	enum, examples := &node{kind: '['}, object()
	for _, code := range e.codes {
		enum.items = append(enum.items, str(code))
		name := code
		if s.codes.get(code).get("status").str() != e.status { // one of two statuses
			name += "." + e.status
		}
		examples.set(code, object(member{"$ref", str("#/components/examples/" + name)}))
	}
	if description == "" {
		description = "`" + strings.Join(e.codes, "`, `") + "`."
	}
	schema := object(
		member{"$ref", str("#/components/schemas/Error")},
		member{"properties", object(member{"code", object(member{"enum", enum})})})
	response := object(
		member{"description", str(description)},
		member{"headers", object()},
		member{"content", object(member{"application/json", object(member{"schema", schema}, member{"examples", examples})})})
	for _, h := range headers.pairs() {
		response.get("headers").set(h.name, h.value)
	}
	for status, header := range map[string]string{"401": "WWW-Authenticate", "405": "Allow", "429": "Retry-After", "503": "Retry-After"} {
		if status == e.status {
			response.get("headers").set(header, headerRef(header))
		}
	}
	return s.withCommonHeaders(response)
}

// withCommonHeaders returns a response with the headers that every answer has.
func (s *source) withCommonHeaders(response *node) *node {
	headers := object()
	for _, name := range []string{"X-Request-Id", "X-Content-Type-Options", "Cache-Control", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"} {
		headers.set(name, headerRef(name))
	}
	for _, h := range response.get("headers").pairs() {
		headers.set(h.name, h.value)
	}
	full := object()
	for _, m := range response.pairs() {
		full.set(m.name, m.value)
		if m.name == "description" {
			full.set("headers", headers)
		}
	}
	full.set("headers", headers)
	return full
}

func headerRef(name string) *node {
	return object(member{"$ref", str("#/components/headers/" + name)})
}

// example is an error as it comes: its fields stand in the table beside error.
func example(code string, row *node) *node {
	e := object(member{"error", row.get("error")}, member{"code", str(code)})
	for _, m := range row.pairs() {
		if !slices.Contains([]string{"status", "when", "error", "at422"}, m.name) {
			e.set(m.name, m.value)
		}
	}
	return e
}

func object(members ...member) *node { return &node{kind: '{', members: members} }

func str(s string) *node { return &node{kind: '"', text: s} }

// set replaces a member, or adds it.
func (n *node) set(name string, value *node) {
	for i := range n.members {
		if n.members[i].name == name {
			n.members[i].value = value
			return
		}
	}
	n.members = append(n.members, member{name, value})
}

// take removes a member and returns it.
func (n *node) take(name string) *node {
	value := n.get(name)
	n.members = slices.DeleteFunc(n.members, func(m member) bool { return m.name == name })
	return value
}

// flatten appends the strings of a list, and of the lists in it, to all.
func (n *node) flatten(all *[]string) {
	if n != nil && n.kind == '"' {
		*all = append(*all, n.text)
	}
	for _, item := range n.list() {
		item.flatten(all)
	}
}

// fromYAML reads YAML of the sort that JSON has too, with aliases and merge keys.
func fromYAML(y *yaml.Node) (*node, error) {
	switch y.Kind {
	case yaml.AliasNode:
		return fromYAML(y.Alias)
	case yaml.SequenceNode:
		n := &node{kind: '['}
		for _, item := range y.Content {
			value, err := fromYAML(item)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, value)
		}
		return n, nil
	case yaml.MappingNode:
		return fromMapping(y)
	}
	switch y.Tag {
	case "!!str":
		return str(y.Value), nil
	case "!!int":
		return &node{kind: '0', text: y.Value}, nil
	case "!!bool":
		return &node{kind: map[string]jsontext.Kind{"true": 't', "false": 'f'}[y.Value], text: y.Value}, nil
	case "!!null":
		if y.Value != "null" {
			return nil, fmt.Errorf("line %d: there is no value: a text with a comma or a colon in it needs quotes", y.Line)
		}
		return &node{kind: 'n', text: "null"}, nil
	}
	return nil, fmt.Errorf("line %d: %s is nothing that JSON has", y.Line, y.Tag)
}

func fromMapping(y *yaml.Node) (*node, error) {
	n := object()
	for i := 0; i < len(y.Content); i += 2 {
		key := y.Content[i]
		value, err := fromYAML(y.Content[i+1])
		if err != nil {
			return nil, err
		}
		switch {
		case key.Tag == "!!merge":
			n.members = append(n.members, value.members...)
		case n.get(key.Value) != nil:
			return nil, fmt.Errorf("line %d: %s stands there twice", key.Line, key.Value)
		default:
			n.set(key.Value, value)
		}
	}
	return n, nil
}
