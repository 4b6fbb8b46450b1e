package cli

import "io"

// screen is what is known of where a table is shown. The zero value is a file or a pipe.
type screen struct {
	// columns is how wide it is; 0 is without a border.
	columns int
	// colours tells whether it shows any.
	colours bool
}

// screenOf is the screen to which w writes.
func (a *app) screenOf(w io.Writer) screen {
	if o, ok := w.(*output); ok {
		w = o.w
	}
	if !isTerminal(w) {
		return screen{}
	}
	terminal := a.env("TERM")
	s := screen{colours: terminal != "" && terminal != "dumb" && a.env("NO_COLOR") == ""}
	if !a.flags.noTrunc {
		s.columns = columnsOf(w)
	}
	return s
}

// style is how a text is shown, in the parameters of ECMA-48's SGR. Colours are of the
// first eight, which a terminal's theme keeps readable on its background.
type style string

const (
	stylePlain style = ""
	styleBold  style = "1"
	styleGood  style = "32"   // green
	styleOdd   style = "35"   // magenta: yellow can't be read on white
	styleBad   style = "1;31" // bold red
	styleBusy  style = "1;34" // bold blue
)

func (s screen) paint(as style, text string) string {
	if !s.colours || as == stylePlain || text == "" {
		return text
	}
	return "\x1b[" + string(as) + "m" + text + "\x1b[0m"
}

// stateHeader heads the column that says how something ended.
const stateHeader = "STATUS"

// styleOf is how a cell is shown in a column with this header.
func styleOf(header, text string) style {
	if header != stateHeader && header != "STATE" && header != "RESULT" {
		return stylePlain
	}
	switch text {
	case "ok", "connected", "idle", "added":
		return styleGood
	case "running", "connecting", "pending":
		return styleBusy
	case "error", "timeout", "denied", "fail", "failed", "backing_off":
		return styleBad
	case "canceled", "interrupted", "warn", "expired":
		return styleOdd
	}
	return stylePlain
}
