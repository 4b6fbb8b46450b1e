package openapi

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// writer writes JSON for people: what is short on one line, all else indented.
type writer struct {
	strings.Builder
	// columnsMax is up to where a value stands on one line.
	columnsMax int
	// mark may wrap a token, to colour it.
	mark func(class, token string) string
}

// classes of tokens.
const (
	className   = "n"
	classString = "s"
	classScalar = "c"
)

// json is n as text, without colours.
func (n *node) json(columnsMax int) string {
	return n.write(columnsMax, func(_, token string) string { return token })
}

func (n *node) write(columnsMax int, mark func(class, token string) string) string {
	w := &writer{columnsMax: columnsMax, mark: mark}
	w.value(n, 0, 0)
	return w.String()
}

// value writes n, which begins at column.
func (w *writer) value(n *node, indent, column int) {
	opening, closing := "{", "}"
	switch n.kind {
	case '{':
	case '[':
		opening, closing = "[", "]"
	case '"':
		w.WriteString(w.mark(classString, quote(n.text)))
		return
	default:
		w.WriteString(w.mark(classScalar, n.text))
		return
	}
	oneLine := column+n.width() <= w.columnsMax
	w.WriteString(opening)
	for i, m := range n.children() {
		if i > 0 {
			w.WriteString(",")
		}
		at := indent + 2
		if oneLine {
			if i > 0 {
				w.WriteString(" ")
			}
		} else {
			w.WriteString("\n" + strings.Repeat(" ", at))
		}
		if n.kind == '{' {
			name := quote(m.name)
			w.WriteString(w.mark(className, name) + ": ")
			at += len(name) + 2
		}
		w.value(m.value, indent+2, at)
	}
	if !oneLine {
		w.WriteString("\n" + strings.Repeat(" ", indent))
	}
	w.WriteString(closing)
}

// children are the members of an object, or the items of an array without names.
func (n *node) children() []member {
	children := n.members
	for _, item := range n.items {
		children = append(children, member{value: item})
	}
	return children
}

// width is how many columns n takes on one line.
func (n *node) width() int {
	switch n.kind {
	case '{', '[':
	case '"':
		return len(quote(n.text))
	default:
		return len(n.text)
	}
	width := 2
	for i, m := range n.children() {
		if i > 0 {
			width += 2
		}
		if n.kind == '{' {
			width += len(quote(m.name)) + 2
		}
		width += m.value.width()
	}
	return width
}

func quote(s string) string {
	quoted, err := jsontext.AppendQuote(nil, s)
	if err != nil {
		return `""` // not of a parsed document, whose strings are UTF-8
	}
	return string(quoted)
}
