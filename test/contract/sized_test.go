package contract

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

// What is wrong with the size of an output is told as that, and a key stands for the size.
func TestOutputSizes(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	for output, want := range map[string]string{
		`1`: "invalid_output", `[]`: "invalid_output", `"all"`: "invalid_output", `{"head_bytes":-1}`: "invalid_output", `{"tail_bytes":8388609}`: "invalid_output",
		`{"head_bytes":1.5}`: "invalid_output", `{"tail_bytes":"1"}`: "invalid_output", `{"middle_bytes":1}`: "unknown_field", `{"head_bytes":1,"head_bytes":1}`: "invalid_json",
		`{},"max_output_bytes":5`: "invalid_output", `null`: "", `{"head_bytes":null,"tail_bytes":8388608}`: "", `{},"max_output_bytes":null`: "",
	} {
		a := s.Exec(t, `{"cmd":["true"],"output":`+output+`}`)
		if a.Code() != want || (want == "") != (a.Status == http.StatusOK) {
			t.Errorf("%s: %d %s, want %q", output, a.Status, a.Body, want)
		}
	}
	const bad = `{"cmd":["true"],"output":{"tail_bytes":-1,"head_bytes":-1}}`
	for range 16 { // of two that are wrong, the same is named each time
		if a := s.Exec(t, bad); !strings.Contains(a.Body, "output.head_bytes") {
			t.Fatal(a.Body)
		}
	}
}

// Much output takes no more memory than what is asked for, in either framing, and the row
// tells all of it.
func TestMuchOutputSized(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{})
	const lines = 300_000
	var all strings.Builder
	for i := range lines {
		fmt.Fprintln(&all, i+1)
	}
	text := all.String()
	head, tail := text[:70_000], text[len(text)-100_000:]
	want := fmt.Sprintf("%s\n[%d bytes omitted]\n%s", head, len(text)-170_000, tail)

	c := client.New(s.URL, s.Token)
	defer c.Close()
	var out bytes.Buffer
	done, err := c.Exec(t.Context(), client.Exec{
		Workspace: "local", Cmd: []string{"seq", fmt.Sprint(lines)}, Stdout: &out, Output: &sallyport.OutputSize{HeadBytes: 70_000, TailBytes: 100_000},
	})
	if err != nil || out.String() != want || !done.StdoutTruncated || done.StderrTruncated || *done.StdoutBytes != int64(len(text)) || *done.StderrBytes != 0 {
		t.Errorf("%v, %d bytes, want %d; %+v", err, out.Len(), len(want), done)
	}
	a := s.Exec(t, fmt.Sprintf(`{"cmd":["seq","%d"],"output":{"head_bytes":70000,"tail_bytes":100000}}`, lines))
	if p := parse(t, a); p.stdout != want {
		t.Errorf("%d %d bytes, want %d", a.Status, len(p.stdout), len(want))
	}
	for _, row := range s.Execs(t) {
		if *row.StdoutBytes != int64(len(text)) || !*row.StdoutTruncated || *row.StderrTruncated {
			t.Errorf("row %+v", row)
		}
	}
}
