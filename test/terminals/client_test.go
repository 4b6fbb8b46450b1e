package terminals

import (
	"crypto/sha256"
	"fmt"
	"io"
	"testing"

	"sallyport/client"
	"sallyport/test/stack"
)

// Much output through the Go client, which acks what it has read: all of it arrives, in order.
func TestMuchOutput(t *testing.T) {
	const size = 32 << 20
	each(t, stack.Options{}, func(t *testing.T, m *machine) {
		c := client.New(m.URL, m.Token)
		defer c.Close()
		terminal, err := c.Terminal(t.Context(), m.workspace, client.TerminalOptions{
			Cmd: []string{"sh", "-c", fmt.Sprintf("stty -opost; seq 1 100000000 | head -c %d; exit 7", size)},
		})
		must(t, err)
		defer terminal.Close()
		got := sha256.New()
		n, err := io.Copy(got, terminal)
		must(t, err)
		exit, err := terminal.Wait()
		must(t, err)
		if want := sequence(size); n != size || string(got.Sum(nil)) != string(want) || exit.ExitCode != 7 {
			t.Errorf("%d bytes, exit %+v: another output", n, exit)
		}
	})
}

// sequence is the hash of the first bytes of what seq prints.
func sequence(size int) []byte {
	hash := sha256.New()
	var line []byte
	for i := 1; size > 0; i++ {
		line = fmt.Appendf(line[:0], "%d\n", i)
		line = line[:min(len(line), size)]
		hash.Write(line)
		size -= len(line)
	}
	return hash.Sum(nil)
}
