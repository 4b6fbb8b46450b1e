package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"sallyport/client/sallyport"
)

// copied is a line of cp --json.
type copied struct {
	From       *string `json:"from,omitempty"`
	FromBase64 *string `json:"from_base64,omitempty"`
	To         *string `json:"to,omitempty"`
	ToBase64   *string `json:"to_base64,omitempty"`
	Type       string  `json:"type,omitempty"`
	Size       *int64  `json:"size,omitempty"`
	LeftOut    string  `json:"left_out,omitempty"`
}

// copiedAs prints, with --json, that something was copied. Size -1 is none.
func (k *copier) copiedAs(from, to, kind string, size int64) {
	if !k.asJSON() {
		return
	}
	line := copied{Type: kind}
	line.From, line.FromBase64 = sallyport.FileText(from)
	line.To, line.ToBase64 = sallyport.FileText(to)
	if kind == sallyport.FileTypeFile && size >= 0 {
		line.Size = &size
	}
	if k.held != nil {
		k.held.add(line)
		return
	}
	_ = marshalJSON(k.out, line) // the output remembers that it failed
}

// heldLines are lines of --json that wait until it is known what came of them: on the disk,
// since a tree has any number of them. The zero value, and nil, hold none.
type heldLines struct {
	k    *copier
	file *os.File
	w    *bufio.Writer
}

// hold has what is copied told only when the lines are. The caller calls drop.
func (k *copier) hold() (*heldLines, error) {
	if !k.asJSON() {
		return nil, nil
	}
	file, err := os.CreateTemp("", "sallyport-cp-")
	if err != nil {
		return nil, err
	}
	k.held = &heldLines{k: k, file: file, w: bufio.NewWriter(file)}
	return k.held, nil
}

func (h *heldLines) add(line copied) { _ = marshalJSON(h.w, line) } // w remembers that it failed

// tell prints the lines, but for those of names that were left out.
func (h *heldLines) tell(leftOut map[string]bool) error {
	if h == nil {
		return nil
	}
	h.k.held = nil
	if err := h.w.Flush(); err != nil {
		return err
	}
	if _, err := h.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	for lines := json.NewDecoder(h.file); ; {
		var line copied
		switch err := lines.Decode(&line); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case line.To != nil && leftOut[*line.To]:
			continue
		}
		_ = marshalJSON(h.k.out, line) // the output remembers that it failed
	}
}

// drop forgets the lines that weren't told.
func (h *heldLines) drop() {
	if h == nil {
		return
	}
	h.k.held = nil
	_ = h.file.Close() // nothing of it is kept
	_ = os.Remove(h.file.Name())
}

// leftOut tells what was left out, and why. The rest is copied.
func (k *copier) leftOut(name string, reason error) {
	k.incomplete = true
	fmt.Fprintf(k.Stderr, "sallyport: left out %s: %s\n", visible(name), plainly(reason.Error()))
	if k.asJSON() {
		line := copied{LeftOut: reason.Error()}
		line.From, line.FromBase64 = sallyport.FileText(name)
		_ = marshalJSON(k.out, line) // the output remembers that it failed
	}
}

// leftOutMany tells how many were left out that nobody names.
func (k *copier) leftOutMany(from place, n int64) {
	if n <= 0 {
		return
	}
	k.incomplete = true
	fmt.Fprintf(k.Stderr, "sallyport: %d entries of %s were left out: they can't be read, or are neither files, directories nor links\n", n, visible(from.word))
}
