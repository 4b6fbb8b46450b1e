package terminals

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"sallyport/client"
	"sallyport/test/faultproxy"
	"sallyport/test/stack"
)

// A connection that is cut again and again, while as much is typed as is shown, is taken up by
// the Go client each time: not a byte is lost or comes twice, either way.
func TestClientResumesThroughCuts(t *testing.T) {
	const size, cuts = 1 << 20, 6
	each(t, stack.Options{}, func(t *testing.T, m *machine) {
		proxy := faultproxy.Start(t, strings.TrimPrefix(m.URL, "http://"), faultproxy.Faults{})
		c := client.New("http://"+proxy.Addr, m.Token)
		defer c.Close()
		var resumed atomic.Int32
		terminal, err := c.Terminal(t.Context(), m.workspace, client.TerminalOptions{
			Cmd: []string{"sh", "-c", fmt.Sprintf("stty raw -echo; printf ready; head -c %d", size)},
			Notify: func(e client.TerminalEvent) {
				if e.Kind == client.TerminalResumed {
					resumed.Add(1)
				}
			},
		})
		must(t, err)
		defer terminal.Close()
		ready := make([]byte, len("ready"))
		_, err = io.ReadFull(terminal, ready)
		must(t, err)

		typed := make([]byte, size)
		random := rand.New(rand.NewPCG(1, 2))
		for i := range typed {
			typed[i] = byte(random.Uint32())
		}
		var typing sync.WaitGroup
		typing.Go(func() {
			if _, err := terminal.Write(typed); err != nil {
				t.Errorf("write: %v", err)
			}
		})
		shown := make([]byte, 0, size)
		for part := range cuts + 1 {
			n := size / (cuts + 1)
			if part == cuts {
				n = size - len(shown)
			}
			_, err := io.ReadFull(terminal, shown[len(shown):len(shown)+n])
			shown = shown[:len(shown)+n]
			if err != nil {
				t.Fatalf("part %d: %v", part, err)
			}
			if part < cuts {
				proxy.Cut(part%2 == 0)
			}
		}
		rest, err := io.ReadAll(terminal)
		typing.Wait()
		if err != nil || len(rest) > 0 || !bytes.Equal(shown, typed) {
			t.Errorf("shown is another than typed; then %q, %v", rest, err)
		}
		exit, err := terminal.Wait()
		if err != nil || exit.ExitCode != 0 {
			t.Errorf("ended as %+v, %v", exit, err)
		}
		if resumed.Load() == 0 {
			t.Error("nothing was taken up again")
		}
		if row := m.endedRow(t, terminal.Started.ID); row.InputBytes == nil || *row.InputBytes != size || row.OutputBytes == nil || *row.OutputBytes != size+int64(len(ready)) {
			t.Errorf("row %+v", row)
		}
	})
}
