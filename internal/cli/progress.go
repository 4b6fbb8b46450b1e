package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

const (
	// barEvery is how often a bar is drawn.
	barEvery = 100 * time.Millisecond
	// barNameShare is the share of a terminal's width that a name may take.
	barNameShare = 3
)

// bar shows on a terminal how far a transfer is: name, share, rate and time left. Elsewhere
// it is nil, and does nothing.
type bar struct {
	app *app
	bar *progressbar.ProgressBar
}

// startBar begins to show a transfer of so many bytes; -1 is unknown.
func (a *app) startBar(name string, size int64) *bar {
	columns := columnsOf(a.Stderr)
	if !a.isPerson() || a.asJSON() && isTerminal(a.out.w) {
		return nil
	}
	if columns <= 0 {
		columns = 80
	}
	name = cut(visible(name), max(8, columns/barNameShare))
	if size == 0 {
		fmt.Fprintf(a.Stderr, "%s 100%% (0 B)\n", name)
		return nil
	}
	return &bar{app: a, bar: progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(a.Stderr),
		progressbar.OptionSetDescription(name),
		progressbar.OptionShowBytes(true),
		progressbar.OptionShowCount(),
		progressbar.OptionUseIECUnits(true),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(barEvery),
		progressbar.OptionFullWidth(),
		progressbar.OptionSetSpinnerChangeInterval(0), // with it there would be a goroutine that nobody ends
		progressbar.OptionSetTheme(progressbar.ThemeASCII),
	)}
}

// at shows that so many bytes are done.
func (b *bar) at(n int64) {
	if b != nil {
		_ = b.bar.Set64(n) // what can't be shown is no failure of the transfer
	}
}

// end leaves the line as it is, whole where err is nil, and ends it.
func (b *bar) end(err error) {
	if b == nil {
		return
	}
	if err == nil {
		_ = b.bar.Finish() // what can't be shown is no failure of the transfer
	}
	fmt.Fprintln(b.app.Stderr)
}

// reader shows how much of r was read.
func (b *bar) reader(r io.Reader) io.Reader {
	if b == nil {
		return r
	}
	return &barReader{r: r, bar: b}
}

type barReader struct {
	r   io.Reader
	n   int64
	bar *bar
}

func (r *barReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.n += int64(n)
	r.bar.at(r.n)
	return n, err
}
