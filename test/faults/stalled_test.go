//go:build linux

package faults

import (
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// A reader that has stopped, and a body that is still on its way, hold a drain up
// no longer than what is left of it may take: nothing starts then, and what ran
// has its row.
func TestDrainOfTheStalled(t *testing.T) {
	t.Parallel()
	server := startChild(t, childOptions{flags: map[string]string{"drain_timeout": "1s"}})
	stopped := dial(t, server.Stack)
	defer stopped.Close()
	if err := stopped.SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	endless := streamed("exec yes")
	endless.MaxOutputBytes = 1 << 30
	if _, err := stopped.Write(rawExec(t, server.Stack, endless)); err != nil {
		t.Fatal(err)
	}
	await(t, 10*time.Second, "the exec to run", func() bool { return len(running(ids(server.Execs(t)))) == 1 })

	late := dial(t, server.Stack)
	defer late.Close()
	request := rawExec(t, server.Stack, shell("echo ran"))
	if _, err := late.Write(request[:len(request)-1]); err != nil {
		t.Fatal(err)
	}
	if err := server.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await(t, 10*time.Second, "the drain to begin", func() bool {
		return server.Do(t, http.MethodGet, "/readyz", "", "").Status == http.StatusServiceUnavailable
	})
	await(t, 10*time.Second, "its time to be up", func() bool {
		return server.Execs(t)[0].Status == sallyport.StatusCanceled
	})
	if _, err := late.Write(request[len(request)-1:]); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(late)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 503 ") || !strings.Contains(string(answer), `"draining"`) {
		t.Errorf("got %q, %v", answer, err)
	}
	limit := limits.DrainEndTime + limits.ShutdownTime + 10*time.Second
	within(t, limit, "the server's end", func() struct{} { <-server.ended; return struct{}{} })
	if code := server.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the server ended with %d", code)
	}
	rows := startChild(t, childOptions{dataDir: server.DataDir}).Execs(t)
	if len(rows) != 1 || rows[0].Status != sallyport.StatusCanceled || rows[0].Reason != "draining" || rows[0].StdoutBytes == nil {
		t.Errorf("rows %+v", rows)
	}
}

func ids(rows []sallyport.Activity) []string {
	var all []string
	for _, row := range rows {
		all = append(all, row.ID)
	}
	return all
}
