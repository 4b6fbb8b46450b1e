package httpapi

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
)

// startFrame is the first message of a client that starts a terminal.
type startFrame struct {
	Type         string            `json:"type"`
	Cols         optional[integer] `json:"cols"`
	Rows         optional[integer] `json:"rows"`
	Cmd          argv              `json:"cmd"`
	Cwd          string            `json:"cwd"`
	Env          environment       `json:"env"`
	TimeoutS     optional[integer] `json:"timeout_s"`
	IdleTimeoutS optional[integer] `json:"idle_timeout_s"`
	Record       optional[bool]    `json:"record"`
}

// resumeFrame is the first message of a client that comes again, watchFrame that of one who
// watches.
type (
	resumeFrame struct {
		Type     string            `json:"type"`
		ID       string            `json:"id"`
		Received optional[integer] `json:"received"`
		Cols     optional[integer] `json:"cols"`
		Rows     optional[integer] `json:"rows"`
	}
	watchFrame struct {
		Type string `json:"type"`
		ID   string `json:"id"`
	}
)

// Later messages of a client.
type (
	resizeFrame struct {
		Type string            `json:"type"`
		Cols optional[integer] `json:"cols"`
		Rows optional[integer] `json:"rows"`
	}
	signalFrame struct {
		Type   string `json:"type"`
		Signal string `json:"signal"`
	}
	ackFrame struct {
		Type     string            `json:"type"`
		Received optional[integer] `json:"received"`
	}
)

// frameType is the type of a control message; empty for what is none.
func frameType(text []byte) string {
	dec := jsontext.NewDecoder(bytes.NewReader(text))
	kind := ""
	err := eachMember(dec, wantError("an object"), func(name string) error {
		value, err := dec.ReadValue()
		if err == nil && name == "type" && value.Kind() == '"' {
			unquoted, err := jsontext.AppendUnquote(nil, value)
			kind = string(unquoted)
			return err
		}
		return err
	})
	if _, more := dec.ReadToken(); err != nil || !errors.Is(more, io.EOF) {
		return ""
	}
	return kind
}

func parseStart(text []byte) (t gateway.Terminal, err error) {
	var f startFrame
	if err := parse(bytes.NewReader(text), &f); err != nil {
		if sallyport.CodeOf(err) == sallyport.CodeInvalidJSON {
			err = invalidFrame(err)
		}
		return t, err
	}
	t = gateway.Terminal{Argv: f.Cmd, Env: f.Env, Cwd: f.Cwd, Record: f.Record.value}
	if t.Cols, err = side(f.Cols, sallyport.CodeInvalidCols, "cols"); err != nil {
		return t, err
	}
	if t.Rows, err = side(f.Rows, sallyport.CodeInvalidRows, "rows"); err != nil {
		return t, err
	}
	if t.Cols == 0 {
		t.Cols = sallyport.TerminalColsDefault
	}
	if t.Rows == 0 {
		t.Rows = sallyport.TerminalRowsDefault
	}
	t.TimeoutS = seconds(f.TimeoutS, sallyport.TerminalTimeoutSMax)
	t.IdleTimeoutS = seconds(f.IdleTimeoutS, sallyport.TerminalIdleTimeoutSDefault)
	return t, checkCwd(f.Cwd)
}

// side is one side of a size: 0 where it is missing.
func side(n optional[integer], code sallyport.Code, name string) (int, error) {
	if n.value < 0 {
		return 0, sallyport.Errorf(code, "%s must be a whole number from 0", name)
	}
	return int(min(n.value, sallyport.TerminalSideMax)), nil
}

// seconds is a time-out that is clamped.
func seconds(n optional[integer], byDefault int) int {
	if n.value <= 0 {
		return byDefault
	}
	return int(min(n.value, sallyport.TerminalTimeoutSMax))
}

func parseResume(text []byte) (gateway.TerminalResume, error) {
	var f resumeFrame
	if err := parse(bytes.NewReader(text), &f); err != nil {
		return gateway.TerminalResume{}, invalidFrame(err)
	}
	size, err := parseSize(f.Cols, f.Rows)
	if err != nil {
		return gateway.TerminalResume{}, err
	}
	t := gateway.TerminalResume{ID: f.ID, Cols: size.Cols, Rows: size.Rows}
	if f.Received.is() {
		if f.Received.value < 0 {
			return t, sallyport.Errorf(sallyport.CodeInvalidFrame, "received must be a whole number from 0")
		}
		received := int64(f.Received.value)
		t.Received = &received
	}
	return t, nil
}

func parseWatch(text []byte) (terminalID string, err error) {
	var f watchFrame
	if err := parse(bytes.NewReader(text), &f); err != nil {
		return "", invalidFrame(err)
	}
	return f.ID, nil
}

func parseSize(cols, rows optional[integer]) (*sallyport.TerminalResize, error) {
	c, err := side(cols, sallyport.CodeInvalidFrame, "cols")
	if err != nil {
		return nil, err
	}
	r, err := side(rows, sallyport.CodeInvalidFrame, "rows")
	return &sallyport.TerminalResize{Cols: c, Rows: r}, err
}

// parseInput parses a message of a client whose terminal runs.
func parseInput(text []byte) (in gateway.TerminalInput, err error) {
	switch frameType(text) {
	case sallyport.FrameResize:
		var f resizeFrame
		if err := parse(bytes.NewReader(text), &f); err != nil {
			return in, invalidFrame(err)
		}
		in.Resize, err = parseSize(f.Cols, f.Rows)
		return in, err
	case sallyport.FrameSignal:
		in.Signal, err = parseSignal(text)
		return in, err
	case sallyport.FrameAck:
		var f ackFrame
		if err := parse(bytes.NewReader(text), &f); err != nil {
			return in, invalidFrame(err)
		}
		if !f.Received.is() || f.Received.value < 0 {
			return in, sallyport.Errorf(sallyport.CodeInvalidFrame, "received must be a whole number from 0")
		}
		received := int64(f.Received.value)
		in.Ack = &received
		return in, nil
	}
	return in, sallyport.Errorf(sallyport.CodeInvalidFrame, "a text message must be a JSON object of type resize, signal or ack")
}

func parseSignal(text []byte) (name string, err error) {
	var f signalFrame
	if err := parse(bytes.NewReader(text), &f); err != nil {
		return "", invalidFrame(err)
	}
	if all := sallyport.Signals(); !slices.Contains(all, f.Signal) {
		return "", sallyport.Errorf(sallyport.CodeInvalidFrame, "signal must be one of %s", strings.Join(all, ", "))
	}
	return f.Signal, nil
}

func invalidFrame(cause error) *sallyport.Error {
	message := "it is not valid"
	if known, ok := errors.AsType[*sallyport.Error](cause); ok {
		message = known.Message
	}
	return sallyport.Errorf(sallyport.CodeInvalidFrame, "a text message can't be taken: %s", message).Because(cause)
}
