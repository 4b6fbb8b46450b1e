package forwards

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"sallyport/test/program"
)

// What TestBench times; make bench sets it. What make test runs shows that it works, and
// nothing of speed.
var (
	benchMiB    = flag.Int("bench-mib", 1, "bytes that a connection carries")
	benchRounds = flag.Int("bench-rounds", 1, "turns of each way")
)

// TestBench compares how fast `sallyport forward` and `ssh -L` carry bytes to and from the same
// target behind the same OpenSSH, in turns. Both are processes of their own; Sallyport's server
// is in the test's.
func TestBench(t *testing.T) {
	client := program.Need(t, "ssh")
	m := openSSH(t)
	size := int64(*benchMiB) << 20
	port := listen(t, func(conn *net.TCPConn) { serveBench(conn, size) })
	ways := map[string]string{"sallyport": startForward(t, m, port), "ssh": startSSH(t, m, client, port)}
	took := map[string][]time.Duration{}
	for round := range *benchRounds + 1 { // the first warms
		for _, direction := range []string{"up", "down"} {
			for _, way := range []string{"sallyport", "ssh"} {
				began := time.Now()
				carry(t, ways[way], direction, size)
				if round > 0 {
					took[way+direction] = append(took[way+direction], time.Since(began))
				}
			}
		}
	}
	for _, direction := range []string{"up", "down"} {
		rate := func(way string) float64 {
			all := took[way+direction]
			slices.Sort(all)
			return float64(*benchMiB) / all[len(all)/2].Seconds()
		}
		ours, theirs := rate("sallyport"), rate("ssh")
		fmt.Printf("%d MiB %-4s  sallyport forward %6.1f MiB/s  ssh -L %6.1f MiB/s  ratio %.2f (goal at least 0.80)\n", *benchMiB, direction, ours, theirs, ours/theirs)
	}
}

// serveBench is the target: it sends so many bytes to who asks for them, and tells who sends
// them that all have come.
func serveBench(conn *net.TCPConn, size int64) {
	in := bufio.NewReader(conn)
	if what, err := in.ReadByte(); err == nil && what == 'd' {
		_, _ = io.CopyN(conn, endless{}, size) // who asked counts them
		return
	}
	if n, err := io.Copy(io.Discard, in); n == size && err == nil {
		_, _ = conn.Write([]byte("."))
	}
}

// endless is a content of zeros.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// carry sends so many bytes up or down a new connection.
func carry(t *testing.T, addr, direction string, size int64) {
	t.Helper()
	conn := dial(t, addr)
	defer conn.Close()
	_, err := conn.Write([]byte(direction[:1]))
	must(t, err)
	if direction == "down" {
		if n, err := io.Copy(io.Discard, conn); n != size || err != nil {
			t.Fatalf("%d bytes came, %v", n, err)
		}
		return
	}
	_, err = io.CopyN(conn, endless{}, size)
	must(t, err)
	must(t, conn.CloseWrite())
	if answer, err := io.ReadAll(conn); string(answer) != "." || err != nil {
		t.Fatalf("the target says %q, %v", answer, err)
	}
}

// startForward starts the program, and returns where it listens.
func startForward(t *testing.T, m *machine, port string) string {
	t.Helper()
	cmd := exec.Command(program.Path(t), "forward", "--json", m.workspace, ":"+port)
	cmd.Env = append(os.Environ(), "SALLYPORT_URL="+m.url, "SALLYPORT_TOKEN="+m.token)
	out, err := cmd.StdoutPipe()
	must(t, err)
	cmd.Stderr = os.Stderr
	run(t, cmd)
	var said struct{ Local string }
	must(t, json.NewDecoder(out).Decode(&said))
	return said.Local
}

// startSSH starts `ssh -L`, and returns where it listens.
func startSSH(t *testing.T, m *machine, client, port string) string {
	t.Helper()
	local := freeAddr(t)
	cmd := exec.Command(client, append(m.sshd.ClientArgs(t), "-N", "-L", local+":127.0.0.1:"+port, "127.0.0.1")...)
	cmd.Stderr = os.Stderr
	run(t, cmd)
	until(t, "ssh listens", func() bool {
		conn, err := net.Dial("tcp", local)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return local
}

// run starts a process that is ended with the test.
func run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
}
