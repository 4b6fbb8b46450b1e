package spec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"

	"sallyport/client/sallyport"
)

// ofHTTP are headers of HTTP itself, which no document has.
var ofHTTP = []string{"Date", "Content-Type", "Content-Length", "Connection", "Transfer-Encoding", "Trailer"}

// checkHeaders wants every header of an answer described, and every one that must be
// there to be there.
func (d *document) checkHeaders(response place, e Exchange) error {
	described := map[string]bool{}
	for _, name := range response.child("headers").names() {
		described[http.CanonicalHeaderKey(name)] = true
		if err := d.checkHeader(response.child("headers", name).target(), name, e.Header); err != nil {
			return err
		}
	}
	for name := range e.Header {
		if !described[name] && !slices.Contains(ofHTTP, name) {
			return fmt.Errorf("the header %s: %q is not described", name, e.Header[name])
		}
	}
	return nil
}

func (d *document) checkHeader(header place, name string, h http.Header) error {
	values := h.Values(name)
	switch {
	case len(values) == 0 && header.child("required").value == true:
		return fmt.Errorf("the header %s is missing", name)
	case len(values) == 0:
		return nil
	}
	// Several of one name are one list (RFC 9110, section 5.3).
	if err := d.checkText(header, strings.Join(values, ", ")); err != nil {
		return fmt.Errorf("the header %s: %w", name, err)
	}
	return nil
}

// checkText judges what a header or a trailer says.
func (d *document) checkText(header place, text string) error {
	if content := header.child("content", sallyport.MediaJSON, "schema"); content.is() {
		return d.checkJSON(content, []byte(text))
	}
	schema := header.child("schema")
	if schema.child("type").value == "integer" {
		return d.checkJSON(schema, []byte(text))
	}
	return d.validate(schema, text)
}

// checkContent judges an answer's body by its media type.
func (d *document) checkContent(response place, e Exchange) error {
	given := e.Header.Get("Content-Type")
	content := response.child("content")
	if !content.is() {
		if given != "" || len(e.Body) > 0 {
			return fmt.Errorf("no body is described, and it has %q: %.200q", given, e.Body)
		}
		return nil
	}
	name, _, err := mime.ParseMediaType(given)
	if err != nil {
		return fmt.Errorf("the media type %q: %w", given, err)
	}
	media := content.child(name)
	if !media.is() {
		media = content.child("*/*") // a file's content is of any type
	}
	switch {
	case !media.is():
		return fmt.Errorf("the media type %q is not described", given)
	case e.Method == http.MethodHead:
		if len(e.Body) > 0 {
			return fmt.Errorf("a body to HEAD: %.200q", e.Body)
		}
		return nil
	case name == sallyport.MediaJSON && e.Whole:
		return d.checkJSON(media.child("schema"), e.Body)
	case name == sallyport.MediaNDJSON:
		return d.checkLines(content, e)
	case name == sallyport.MediaSSE:
		return d.checkEvents(media.child("x-events"), e)
	case name == sallyport.MediaFrames, name == sallyport.MediaDocker:
		return errors.Join(d.checkPieces(media, e), d.checkTrailers(media, e))
	}
	return nil
}

// judgedMax bounds how many frames or events of a stream are judged, from its
// beginning; the last one is besides. What comes in thousands is all of a kind.
const judgedMax = 64

// checkLines judges frames, one a line, which are those of the server-sent events beside them.
// The last line, and no other, is an end.
func (d *document) checkLines(content place, e Exchange) error {
	kinds := content.child(sallyport.MediaSSE).child("x-events")
	lines := bytes.SplitAfter(e.Body, []byte("\n"))
	var frames [][]byte
	for _, line := range lines {
		if bytes.HasSuffix(line, []byte("\n")) && len(line) > 1 {
			frames = append(frames, line)
		}
	}
	if rest := lines[len(lines)-1]; e.Whole && len(rest) > 0 {
		return fmt.Errorf("it ends within a line: %.200q", rest)
	}
	for i, frame := range frames {
		kind := kinds.child("frame")
		switch last := i == len(frames)-1; {
		case last && e.Whole:
			kind = kinds.child("end")
		case last: // it may be the end for all that the reader saw
			kind = content.child(sallyport.MediaNDJSON).child("schema").child("contentSchema")
		case i > judgedMax:
			continue
		}
		if err := d.checkJSON(kind, frame); err != nil {
			return fmt.Errorf("frame %d: %w", i+1, err)
		}
	}
	if e.Whole && len(frames) == 0 {
		return errors.New("there is no last frame")
	}
	return nil
}

// checkEvents judges server-sent events by their names. A stream that is read to its
// end has an end.
func (d *document) checkEvents(kinds place, e Exchange) error {
	blocks := strings.SplitAfter(string(e.Body), "\n\n")
	last := ""
	for i, block := range blocks {
		if !strings.HasSuffix(block, "\n\n") {
			if e.Whole && block != "" {
				return fmt.Errorf("it ends within an event: %.200q", block)
			}
			break
		}
		name, data, err := parseEvent(block)
		if err != nil {
			return err
		}
		if data == "" {
			continue // a comment, or how long to wait before coming again
		}
		if last == "end" {
			return fmt.Errorf("there is something behind the end: %.200q", block)
		}
		last = name
		if i > judgedMax && name != "end" {
			continue
		}
		kind := kinds.child(name)
		if !kind.is() {
			return fmt.Errorf("an event named %q is not described", name)
		}
		if err := d.checkJSON(kind, []byte(data)); err != nil {
			return fmt.Errorf("event %s: %w", name, err)
		}
	}
	if e.Whole && last != "end" {
		return errors.New("it has no end")
	}
	return nil
}

func parseEvent(block string) (name, data string, err error) {
	name = "message"
	for _, line := range strings.Split(strings.TrimSuffix(block, "\n\n"), "\n") {
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			name = value
		case "data":
			data += value
		case "", "id", "retry":
		default:
			return "", "", fmt.Errorf("server-sent events have no field %q: %.200q", field, block)
		}
	}
	return name, data, nil
}

// checkPieces judges the raw framings.
func (d *document) checkPieces(media place, e Exchange) error {
	last := media.child("x-lastPiece")
	ended := false
	for rest := e.Body; len(rest) > 0; {
		if len(rest) < 8 || len(rest)-8 < int(binary.BigEndian.Uint32(rest[4:])) {
			if e.Whole {
				return fmt.Errorf("it ends within a piece: %.200q", rest)
			}
			return nil
		}
		kind, data := rest[0], rest[8:8+binary.BigEndian.Uint32(rest[4:])]
		rest = rest[8+len(data):]
		switch {
		case ended:
			return errors.New("there is something behind the last piece")
		case kind == 4 && last.is():
			ended = true
			if err := d.checkJSON(last, data); err != nil {
				return err
			}
		case kind != 1 && kind != 2:
			return fmt.Errorf("a piece of kind %d", kind)
		}
	}
	if e.Whole && last.is() && !ended {
		return errors.New("it has no last piece")
	}
	return nil
}

func (d *document) checkTrailers(media place, e Exchange) error {
	trailers := media.child("x-trailers")
	if !e.Whole || !trailers.is() {
		return nil
	}
	for name, values := range e.Trailer {
		if !trailers.child(name).is() && len(values) > 0 {
			return fmt.Errorf("the trailer %s: %q is not described", name, values)
		}
	}
	for _, name := range trailers.names() {
		if err := d.checkHeader(trailers.child(name), name, e.Trailer); err != nil {
			return fmt.Errorf("trailer: %w", err)
		}
	}
	return nil
}
