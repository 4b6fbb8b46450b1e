package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// castLineMax bounds a line of an asciicast, in bytes.
const castLineMax = 1 << 20

// player shows an asciicast.
type player struct {
	speed float64
	idle  time.Duration // 0 is without a limit
	// atOnce leaves the pauses out.
	atOnce bool
}

// play shows a recording here.
func (a *app) play(ctx context.Context, ref string, p player) error {
	from, _, err := a.openRecording(ctx, ref)
	if err != nil {
		return err
	}
	defer from.Close()
	if !isTerminal(a.Stdout) {
		p.atOnce = true
		return p.play(ctx, a.out, from)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	local := a.openLocalTerminal()
	defer local.putBack()
	if err := local.makeRaw(); err != nil {
		return err
	}
	interrupted := make(chan struct{})
	if local.is {
		// What the recording asks the terminal is answered here, as if it were typed.
		go local.guard(func() {
			if awaitInterrupt(a.Stdin) {
				close(interrupted)
				cancel()
			}
		})()
	}
	err = p.play(ctx, local.out, from)
	local.putBack()
	_, _ = io.WriteString(a.out, "\n") // the output remembers that it failed
	select {
	case <-interrupted:
		return exitCode(exitInterrupt)
	default:
		return err
	}
}

// awaitInterrupt reads what is typed until Ctrl-C, or the end.
func awaitInterrupt(from io.Reader) bool {
	buffer := make([]byte, 256)
	for {
		n, err := from.Read(buffer)
		if strings.IndexByte(string(buffer[:n]), interruptKey) >= 0 {
			return true
		}
		if err != nil {
			return false
		}
	}
}

// play shows the output of an asciicast until its end, or that of ctx.
func (p player) play(ctx context.Context, to io.Writer, from io.Reader) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, castLineMax)
	var header struct {
		Version int `json:"version"`
	}
	if lines.Scan() {
		_ = json.Unmarshal(lines.Bytes(), &header) // of another form, it has no version
	}
	if header.Version != 2 && lines.Err() == nil {
		return errors.New("the recording is no asciicast of version 2")
	}
	at := 0.0
	for lines.Scan() {
		seconds, kind, text, err := readEvent(lines.Bytes())
		if err != nil {
			return err
		}
		if kind != "o" {
			continue
		}
		if err := p.pause(ctx, seconds-at); err != nil {
			return err
		}
		at = seconds
		if _, err := io.WriteString(to, text); err != nil {
			return err
		}
	}
	return lines.Err()
}

// pause waits as long as nothing was shown.
func (p player) pause(ctx context.Context, seconds float64) error {
	wait := time.Duration(seconds * float64(time.Second))
	if p.idle > 0 {
		wait = min(wait, p.idle)
	}
	if wait = time.Duration(float64(wait) / p.speed); p.atOnce || wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// readEvent reads one line: [seconds, kind, text].
func readEvent(line []byte) (seconds float64, kind, text string, err error) {
	var fields []json.RawMessage
	if err = json.Unmarshal(line, &fields); err == nil && len(fields) != 3 {
		err = fmt.Errorf("it has %d elements", len(fields))
	}
	if err == nil {
		err = errors.Join(json.Unmarshal(fields[0], &seconds), json.Unmarshal(fields[1], &kind), json.Unmarshal(fields[2], &text))
	}
	if err != nil {
		err = fmt.Errorf("a line of the recording can't be read: %w", err)
	}
	return seconds, kind, text, err
}
