package recording

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// castPieceBytes is how much output stands in one event at most: even with each byte
// escaped as \u001b, two of them are less than a frame holds.
const castPieceBytes = 4 << 10

// cast makes the events of an asciicast (version 2). It is not safe for concurrent use.
type cast struct {
	began time.Time
	// cut is the beginning of a character whose rest has not come.
	cut []byte
}

func newCast() *cast { return &cast{began: time.Now()} }

// start has the time of events count from now.
func (c *cast) start() { c.began = time.Now() }

func (c *cast) elapsed() time.Duration { return time.Since(c.began) }

// castHeader is the first line.
func castHeader(h Header) ([]byte, error) {
	return line(struct {
		Version   int               `json:"version"`
		Width     int               `json:"width"`
		Height    int               `json:"height"`
		Timestamp int64             `json:"timestamp"`
		Env       map[string]string `json:"env"`
		Title     string            `json:"title,omitempty"`
	}{2, h.Cols, h.Rows, h.CreatedAt.Unix(), map[string]string{"TERM": h.Term}, h.Title})
}

// output is the event of what was printed; empty where that is less than a character.
func (c *cast) output(p []byte) []byte {
	text := append(c.cut, p...)
	whole := len(text) - len(cutCharacter(text))
	c.cut = bytes.Clone(text[whole:])
	return c.event("o", text[:whole])
}

// rest is the event of a character that was never completed; empty where there is none.
func (c *cast) rest() []byte {
	cut := c.cut
	c.cut = nil
	return c.event("o", cut)
}

func (c *cast) resize(cols, rows int) []byte {
	return c.event("r", fmt.Appendf(nil, "%dx%d", cols, rows))
}

// event is one line: [seconds, kind, text]. Bytes that aren't UTF-8 become U+FFFD.
func (c *cast) event(kind string, text []byte) []byte {
	if len(text) == 0 {
		return nil
	}
	quoted, err := line(string(text))
	if err != nil {
		return nil // a string has always a form
	}
	return fmt.Appendf(nil, "[%.6f, %q, %s]\n", c.elapsed().Seconds(), kind, bytes.TrimSuffix(quoted, []byte("\n")))
}

// cutCharacter is the end of p that is the beginning of a character; empty where there is none.
func cutCharacter(p []byte) []byte {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		tail := p[len(p)-n:]
		if !utf8.RuneStart(tail[0]) {
			continue
		}
		if utf8.FullRune(tail) {
			return nil
		}
		return tail
	}
	return nil
}

// line is v in JSON, with a newline.
func line(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return b.Bytes(), err
}
