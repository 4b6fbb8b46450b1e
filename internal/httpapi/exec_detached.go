package httpapi

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"sallyport/client/frame"
	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
	"sallyport/internal/limits"
)

// execDetached answers when the command has started: 202, or 200 with the exec that an
// idempotency key has begun before.
func (c *call) execDetached(req gateway.Exec) error {
	row, began, err := c.api.Gateway.StartDetached(c.r.Context(), c.by, c.ref(), req, func(id string) { c.dispatched(id, req) })
	if err != nil {
		return err
	}
	c.dispatched(row.ID, req)
	if !began {
		c.answer(http.StatusOK, row)
		return nil
	}
	c.w.Header().Set("Location", strings.TrimSuffix(c.r.URL.Path, "/exec")+"/execs/"+row.ID)
	c.answer(http.StatusAccepted, row)
	return nil
}

// waitTime reads ?wait_s=.
func (c *call) waitTime() (time.Duration, error) {
	values := c.r.URL.Query()["wait_s"]
	if len(values) == 0 {
		return 0, nil
	}
	n, err := strconv.ParseUint(values[0], 10, 32)
	if err != nil || len(values) > 1 {
		return 0, sallyport.Errorf(sallyport.CodeInvalidWaitS, "wait_s must be a number of seconds, 0 to %d", int(limits.ExecWaitMax.Seconds()))
	}
	return min(time.Duration(n)*time.Second, limits.ExecWaitMax), nil
}

// deleteExec is DELETE /workspaces/{workspace}/execs/{exec}.
func (c *call) deleteExec() error {
	keep := c.r.URL.Query()["output"]
	if len(keep) > 1 || len(keep) == 1 && keep[0] != "keep" {
		return sallyport.Errorf(sallyport.CodeInvalidOutput, "output must be keep, or left out")
	}
	if err := c.api.Gateway.DeleteExec(c.r.Context(), c.by, c.ref(), c.r.PathValue("exec"), len(keep) == 1); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// execOutput is GET /workspaces/{workspace}/execs/{exec}/output.
func (c *call) execOutput() error {
	want, err := c.outputWanted()
	if err != nil {
		return err
	}
	as := acceptedEncoding(c.r.Header["Accept"])
	if as == frame.Docker && !c.r.ProtoAtLeast(1, 1) {
		return sallyport.Errorf(sallyport.CodeHTTPVersionNotSupported, "this framing tells the result in trailers, which take HTTP/1.1")
	}
	frames := map[string]*frame.Output{}
	s := newStream(c.w, as, func(name string) goingOutput {
		frames[name] = frame.NewOutput(as, name, 0)
		return frames[name]
	}, c.api.Times.orLimits().Keepalive)
	whole := false
	defer func() {
		if !whole { // a panic cuts the answer
			s.stop()
		}
	}()
	sides := map[string]*streamSide{sallyport.Stdout: s.stdout, sallyport.Stderr: s.stderr}
	want.Begun = func(stdout, stderr int64) error {
		*frames[sallyport.Stdout] = *frame.NewOutput(as, sallyport.Stdout, stdout)
		*frames[sallyport.Stderr] = *frame.NewOutput(as, sallyport.Stderr, stderr)
		c.tellOffsets(want, stdout, stderr)
		s.start()
		return nil
	}
	last, err := c.api.Gateway.ReadOutput(c.r.Context(), c.by, c.ref(), c.r.PathValue("exec"), want, func(f gateway.OutputFrame) error {
		if f.Skipped > 0 {
			return sides[f.Stream].append(func(dst []byte) []byte { return frames[f.Stream].AppendSkipped(dst, f.Skipped) })
		}
		_, err := sides[f.Stream].Write(f.Data)
		return err
	})
	whole = true
	if err != nil && !s.begun.Load() {
		return err
	}
	if err != nil {
		c.cause = err
		why := c.wireError(err)
		last.Message, last.Code, last.Reason = why.Message, why.Code, why.Reason
	}
	s.end(last)
	return nil
}

// tellOffsets names the offset of each stream's first byte in the header.
func (c *call) tellOffsets(want gateway.OutputRead, stdout, stderr int64) {
	var next sallyport.OutputNext
	if want.Stdout {
		next.Stdout = &stdout
	}
	if want.Stderr {
		next.Stderr = &stderr
	}
	c.w.Header().Set(sallyport.HeaderOutputOffset, frame.OutputOffsets(next))
}

// outputWanted reads the query of an output.
func (c *call) outputWanted() (want gateway.OutputRead, err error) {
	query := c.r.URL.Query()
	one := func(name string) (value string, isGiven, isOne bool) {
		values := query[name]
		if len(values) == 0 {
			return "", false, true
		}
		return values[0], true, len(values) == 1
	}
	switch stream, isGiven, isOne := one("stream"); {
	case !isGiven:
		want.Stdout, want.Stderr = true, true
	case isOne && stream == sallyport.Stdout:
		want.Stdout = true
	case isOne && stream == sallyport.Stderr:
		want.Stderr = true
	default:
		return want, sallyport.Errorf(sallyport.CodeInvalidStream, "stream must be stdout or stderr, or left out for both")
	}
	since, isGiven, isOne := one("since")
	if isGiven && (!isOne || !parseSince(since, &want)) {
		return want, sallyport.Errorf(sallyport.CodeInvalidSince, "since must be an offset in bytes, -N for the newest N, or OUT,ERR for two streams")
	}
	switch follow, isGiven, isOne := one("follow"); {
	case isGiven && (!isOne || follow != "true" && follow != "false"):
		return want, sallyport.Errorf(sallyport.CodeInvalidFollow, "follow must be true or false")
	default:
		want.Follow = follow == "true"
	}
	if most, isGiven, isOne := one("max_bytes"); isGiven {
		n, err := strconv.ParseInt(most, 10, 64)
		if err != nil || !isOne || n < 1 || n > limits.DetachedOutputBytesMax {
			return want, sallyport.Errorf(sallyport.CodeInvalidMaxBytes, "max_bytes must be 1 to %d", limits.DetachedOutputBytesMax)
		}
		want.MaxBytes = n
	}
	return want, nil
}

// parseSince reads one offset, or two; one that isn't 0 or negative is for one stream alone.
func parseSince(text string, want *gateway.OutputRead) bool {
	first, second, areTwo := strings.Cut(text, ",")
	if areTwo != (want.Stdout && want.Stderr) && areTwo {
		return false
	}
	var ok bool
	if want.SinceStdout, ok = parseOffset(first); !ok {
		return false
	}
	want.SinceStderr = want.SinceStdout
	if areTwo {
		want.SinceStderr, ok = parseOffset(second)
		return ok
	}
	return want.SinceStdout <= 0 || !want.Stdout || !want.Stderr
}

// parseOffset reads an offset. -0 is none: the newest no bytes, which would be all that comes.
func parseOffset(text string) (int64, bool) {
	digits := strings.TrimPrefix(text, "-")
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || text != digits && n == 0 {
		return 0, false
	}
	if text != digits {
		return -int64(n), true
	}
	return int64(n), true
}
