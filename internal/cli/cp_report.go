package cli

import (
	"fmt"

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
	_ = marshalJSON(k.out, line) // the output remembers that it failed
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
