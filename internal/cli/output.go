package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// output is stdout, and remembers that it could not be written: a full disk must
// not look like success.
type output struct {
	w   io.Writer
	err error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil && o.err == nil {
		o.err = fmt.Errorf("write stdout: %w", err)
	}
	return n, err
}

// printRows writes rows of a table, each column as wide as it must be.
func printRows[T any](a *app, w io.Writer, columns []column[T], items []T, withHeader bool) error {
	t := newTable(a.screenOf(w), columns, items)
	if withHeader {
		if err := t.header(w); err != nil {
			return err
		}
	}
	for _, item := range items {
		if err := t.row(w, item); err != nil {
			return err
		}
	}
	return nil
}

// printOne writes one item, a line for each column.
func printOne[T any](a *app, w io.Writer, columns []column[T], item T) error {
	s, widest := a.screenOf(w), 0
	for _, c := range columns {
		widest = max(widest, cells(c.header))
	}
	for _, c := range columns {
		text := visible(c.cell(item))
		blanks := strings.Repeat(" ", widest-cells(c.header)+gap)
		if _, err := fmt.Fprintf(w, "%s%s%s\n", s.paint(styleBold, c.header), blanks, s.paint(styleOf(c.header, text), text)); err != nil {
			return err
		}
	}
	return nil
}

// show prints the answer of a call about one item: the server's own JSON, or a
// line for each column.
func show[T any](a *app, api *api, columns []column[T], item T) error {
	if a.asJSON() {
		return printJSON(a.out, api.answer)
	}
	return printOne(a, a.out, columns, item)
}

// printJSON writes JSON as it came, but for escapes, with one newline at its end.
func printJSON(w io.Writer, text []byte) error {
	_, err := w.Write(append(visibleJSON(bytes.TrimSpace(text)), '\n'))
	return err
}

// marshalJSON writes v as JSON, for what has no JSON of a server's.
func marshalJSON(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return printJSON(w, text)
}

// listing prints a list page by page, so that a long one takes no memory.
type listing[T any] struct {
	columns []column[T]
	// limit is how many items are wanted; 0 is all.
	limit int
	page  func(client.Page) (sallyport.List[T], error)
}

// print asks for page after page and prints them. It tells whether there is more
// than was wanted.
func (l listing[T]) print(a *app, api *api) (more bool, err error) {
	printed := 0
	for cursor := ""; ; {
		p := client.Page{Limit: limits.PageMax, Cursor: cursor}
		if l.limit > 0 {
			p.Limit = min(l.limit-printed, limits.PageMax)
		}
		list, err := l.page(p)
		if err != nil {
			return false, err
		}
		if err := l.printPage(a, api, list.Items, printed == 0); err != nil {
			return false, err
		}
		printed += len(list.Items)
		more = list.NextCursor != ""
		isEnough := l.limit > 0 && printed >= l.limit
		if !more || isEnough || list.NextCursor == cursor || len(list.Items) == 0 {
			break
		}
		cursor = list.NextCursor
	}
	if a.asJSON() {
		_, err = io.WriteString(a.out, "]}\n")
	}
	return more, err
}

func (l listing[T]) printPage(a *app, api *api, items []T, isFirst bool) error {
	if !a.asJSON() {
		return printRows(a, a.out, l.columns, items, isFirst)
	}
	var answer struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(api.answer, &answer); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	separator := ","
	if isFirst {
		separator = `{"items":[`
		if len(answer.Items) == 0 {
			_, err := io.WriteString(a.out, separator)
			return err
		}
	}
	for _, item := range answer.Items {
		if _, err := fmt.Fprintf(a.out, "%s%s", separator, visibleJSON(item)); err != nil {
			return err
		}
		separator = ","
	}
	return nil
}

// when is a time as tables show it: to the second, in UTC, as the API's JSON is.
func when(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// whenever is a time that may be missing.
func whenever(t *time.Time, missing string) string {
	if t == nil {
		return missing
	}
	return when(*t)
}
