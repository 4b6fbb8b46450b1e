package openapi

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// node is a JSON value whose members keep their order, which readers of a document
// want as its author had it. A nil node is a value that is not there.
type node struct {
	kind    jsontext.Kind // of its first token
	text    string        // of a string its value, of another scalar its JSON
	members []member
	items   []*node
}

type member struct {
	name  string
	value *node
}

// parse reads one JSON value.
func parse(text []byte) (*node, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(text))
	n, err := parseValue(dec)
	if err != nil {
		return nil, err
	}
	if _, err := dec.ReadToken(); err != io.EOF {
		return nil, fmt.Errorf("something stands behind the value: %w", err)
	}
	return n, nil
}

func parseValue(dec *jsontext.Decoder) (*node, error) {
	token, err := dec.ReadToken()
	if err != nil {
		return nil, err
	}
	n := &node{kind: token.Kind()}
	switch n.kind {
	case '{':
		return n, n.parseMembers(dec)
	case '[':
		return n, n.parseItems(dec)
	}
	n.text = token.String()
	return n, nil
}

func (n *node) parseMembers(dec *jsontext.Decoder) error {
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		m := member{name: name.String()}
		if m.value, err = parseValue(dec); err != nil {
			return err
		}
		n.members = append(n.members, m)
	}
	_, err := dec.ReadToken()
	return err
}

func (n *node) parseItems(dec *jsontext.Decoder) error {
	for dec.PeekKind() != ']' {
		item, err := parseValue(dec)
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
	_, err := dec.ReadToken()
	return err
}

// get returns what stands at a path of names; nil when nothing does.
func (n *node) get(names ...string) *node {
	for _, name := range names {
		n = n.member(name)
	}
	return n
}

func (n *node) member(name string) *node {
	if n == nil {
		return nil
	}
	for _, m := range n.members {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// list returns the items of an array, and of no array none.
func (n *node) list() []*node {
	if n == nil {
		return nil
	}
	return n.items
}

// pairs returns the members of an object, and of no object none.
func (n *node) pairs() []member {
	if n == nil {
		return nil
	}
	return n.members
}

// str returns the value of a string, the JSON of another scalar, and "" of the rest.
func (n *node) str() string {
	if n == nil {
		return ""
	}
	return n.text
}

// is tells whether n is true.
func (n *node) is() bool { return n != nil && n.kind == 't' }

// follow returns what the reference n stands for, and the name of the component; of
// what is no reference itself.
func (n *node) follow(root *node) (target *node, name string) {
	ref := n.get("$ref").str()
	if ref == "" {
		return n, ""
	}
	path := strings.Split(strings.TrimPrefix(ref, "#/"), "/")
	return root.get(path...), path[len(path)-1]
}
