package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/width"
)

// column is one column of a table of T, or one line of a single T.
type column[T any] struct {
	header string
	cell   func(T) string
}

// kind says how a column may be cut where the terminal is too narrow.
type kind int

const (
	kindFixed kind = iota // never
	kindID                // to what tells ids apart
	kindTime              // to the clock, where all are of this day
	kindActor
	kindText
	kindMain  // last of all
	kindWhole // never: the terminal breaks its lines
)

// kindOf is a column's kind: columns of one name look alike in every table.
func kindOf(header string) kind {
	switch header {
	case "TIER", "TOOK", "PREFIX", "KIND", stateHeader, "STATE", "RESULT":
		return kindFixed
	case "ID", "ORG ID":
		return kindID
	case "TIME", "STARTED", "CREATED", "EXPIRES":
		return kindTime
	case "ACTOR":
		return kindActor
	case "SUMMARY", "COMMAND":
		return kindMain
	case "FOUND", "PATH":
		return kindWhole
	}
	return kindText
}

const (
	gap = 2 // blanks between columns
	// idShort is as much of an id as tells it from others: its time, and what follows
	// that within a millisecond.
	idShort = len("01980000-0000-7000")
	// clockAt is where the clock begins in a time.
	clockAt = len("2006-01-02T")
)

// table writes rows whose columns stand below each other.
type table[T any] struct {
	columns []column[T]
	screen  screen
	// now is when the table is looked at.
	now    time.Time
	widths []int
	clocks []bool // the columns of which the clock alone is shown
}

// newTable returns a table whose columns are wide enough for items, and no wider in all
// than the screen.
func newTable[T any](s screen, columns []column[T], items []T) *table[T] {
	t := &table[T]{columns: columns, screen: s, now: time.Now(), widths: make([]int, len(columns)), clocks: make([]bool, len(columns))}
	t.measure(items)
	if s.columns > 0 && t.excess() > 0 {
		t.shrink(items)
	}
	return t
}

func (t *table[T]) measure(items []T) {
	for i, c := range t.columns {
		t.widths[i] = cells(c.header)
		for _, item := range items {
			t.widths[i] = max(t.widths[i], cells(t.text(i, item)))
		}
	}
}

// text is a cell as it is shown. What a server says is escaped.
func (t *table[T]) text(i int, item T) string {
	text := visible(t.columns[i].cell(item))
	if t.clocks[i] && len(text) > clockAt {
		return text[clockAt:]
	}
	return text
}

// excess is by how much a line is too long.
func (t *table[T]) excess() int {
	total := -gap
	for i, w := range t.widths {
		if w > 0 && kindOf(t.columns[i].header) != kindWhole {
			total += w + gap
		}
	}
	return total - t.screen.columns
}

// shrink makes columns narrower, those first that lose least by it.
func (t *table[T]) shrink(items []T) {
	for i, c := range t.columns {
		t.clocks[i] = kindOf(c.header) == kindTime && t.isToday(i, items)
	}
	t.measure(items)
	const without = 0 // in place of a width: the column is left out
	for _, step := range []struct {
		kind  kind
		least int
	}{
		{kindID, idShort}, {kindText, 14}, {kindActor, 14}, {kindMain, 24}, {kindActor, 9}, {kindMain, 16},
		{kindActor, without}, {kindText, 8}, {kindMain, 8}, {kindTime, without},
	} {
		for i := 0; i >= 0 && t.excess() > 0; {
			if i = t.widest(step.kind, step.least); i >= 0 && step.least == without {
				t.drop(i, items)
			} else if i >= 0 {
				t.widths[i]--
			}
		}
	}
}

// drop leaves a column out, and gives its room to what is read first.
func (t *table[T]) drop(dropped int, items []T) {
	t.widths[dropped] = 0
	for i, c := range t.columns {
		if kindOf(c.header) != kindMain {
			continue
		}
		for _, item := range items {
			wanted := cells(t.text(i, item))
			t.widths[i] = max(t.widths[i], min(wanted, t.widths[i]-t.excess()))
		}
	}
}

// isToday tells whether all times of a column are of this day.
func (t *table[T]) isToday(i int, items []T) bool {
	today := t.now.UTC().Format("2006-01-02T")
	for _, item := range items {
		if !strings.HasPrefix(t.columns[i].cell(item), today) {
			return false
		}
	}
	return true
}

// widest is the widest column of a kind that may become narrower, down to least or its
// header; -1 if there is none. Any may go whose least is 0.
func (t *table[T]) widest(k kind, least int) int {
	found := -1
	for i, c := range t.columns {
		floor := max(least, cells(c.header))
		if least == 0 {
			floor = 0
		}
		if kindOf(c.header) == k && t.widths[i] > floor && (found < 0 || t.widths[i] > t.widths[found]) {
			found = i
		}
	}
	return found
}

func (t *table[T]) header(w io.Writer) error {
	return t.line(w, func(i int) (string, style) { return t.columns[i].header, styleBold })
}

func (t *table[T]) row(w io.Writer, item T) error {
	return t.line(w, func(i int) (string, style) {
		text := t.text(i, item)
		return text, styleOf(t.columns[i].header, text)
	})
}

func (t *table[T]) line(w io.Writer, cell func(int) (string, style)) error {
	var b strings.Builder
	left, blanks := t.screen.columns, 0
	for i, c := range t.columns {
		if t.widths[i] == 0 {
			continue
		}
		text, s := cell(i)
		switch k := kindOf(c.header); {
		case t.screen.columns == 0, k == kindWhole:
		case k == kindID && t.widths[i] >= idShort && len(text) > t.widths[i]:
			text = cut(text[:t.widths[i]], left-blanks) // without a mark, so that it can be copied
		case k == kindMain && i == len(t.columns)-1:
			text = cut(text, left-blanks)
		default:
			text = cut(text, min(t.widths[i], left-blanks))
		}
		if text != "" {
			b.WriteString(strings.Repeat(" ", blanks))
			b.WriteString(t.screen.paint(s, text))
			left, blanks = left-blanks-cells(text), 0
		}
		blanks += max(0, t.widths[i]-cells(text)) + gap
	}
	_, err := fmt.Fprintln(w, b.String())
	return err
}

// cells is how many columns of a terminal s takes.
func cells(s string) int {
	n := 0
	for _, r := range s {
		n += cellsOf(r)
	}
	return n
}

func cellsOf(r rune) int {
	if r < 0x300 {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// cut cuts s to so many columns of a terminal, and marks that with an ellipsis.
func cut(s string, columns int) string {
	if cells(s) <= columns {
		return s
	}
	if columns < 1 {
		return ""
	}
	n := 0
	for i, r := range s {
		if n += cellsOf(r); n >= columns {
			return s[:i] + "…"
		}
	}
	return s
}
