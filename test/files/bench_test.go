package files

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"sallyport/test/sshd"
	"sallyport/test/stack"
)

// What TestBench times; make bench sets it. What make test runs shows that it works, and
// nothing of speed.
var (
	benchMiB     = flag.Int("bench-mib", 1, "size of the file that is sent up and down")
	benchRuns    = flag.Int("bench-runs", 1, "turns of small reads")
	benchRounds  = flag.Int("bench-rounds", 1, "turns of all else")
	benchEntries = flag.Int("bench-entries", 10, "entries of a directory that is listed")
	benchFiles   = flag.Int("bench-files", 2, "small files of a tree")
)

// TestBench compares files through the whole stack, with their rows, with what else one could
// take, on one real OpenSSH, in turns: pkg/sftp with concurrent requests on a warm connection,
// a warm exec through the same stack, and find and tar over a bare session.
func TestBench(t *testing.T) {
	m := openSSH(t, stack.Start(t, stack.Options{DataDir: t.TempDir()}), sshd.Options{})
	b := newBench(t, m)
	b.bulk(t)
	b.small(t)
	b.list(t)
	b.tree(t)
}

// bench holds what the ways need.
type bench struct {
	*machine
	warm *ssh.Client
	sftp *sftp.Client
	http *http.Client
}

func newBench(t *testing.T, m *machine) *bench {
	conn, err := net.Dial("tcp", m.sshd.Addr)
	must(t, err)
	c, channels, requests, err := ssh.NewClientConn(conn, "", &ssh.ClientConfig{
		User: m.sshd.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(m.sshd.Signer)}, HostKeyCallback: ssh.FixedHostKey(m.sshd.HostKey),
	})
	must(t, err)
	b := &bench{machine: m, warm: ssh.NewClient(c, channels, requests), http: &http.Client{Transport: &http.Transport{DisableCompression: true}}}
	b.sftp, err = sftp.NewClient(b.warm, sftp.UseConcurrentReads(true), sftp.UseConcurrentWrites(true))
	must(t, err)
	t.Cleanup(func() {
		b.sftp.Close()
		b.warm.Close()
		b.http.CloseIdleConnections()
	})
	return b
}

// way is one way to do something.
type way struct {
	name string
	run  func() error
}

// turns runs each way so often, in turns, after one turn that warms, and returns how long
// each took, in order of time.
func turns(t *testing.T, runs int, ways ...way) map[string][]time.Duration {
	t.Helper()
	took := map[string][]time.Duration{}
	for i := range runs + 1 {
		for _, w := range ways {
			began := time.Now()
			if err := w.run(); err != nil {
				t.Fatalf("%s: %v", w.name, err)
			}
			if i > 0 {
				took[w.name] = append(took[w.name], time.Since(began))
			}
		}
	}
	for name := range took {
		slices.Sort(took[name])
	}
	return took
}

// tell prints how long two ways took at p50, and their ratio.
func tell(what, goal string, took map[string][]time.Duration, stack, base string) {
	p50 := func(name string) time.Duration { return took[name][len(took[name])/2].Round(10 * time.Microsecond) }
	fmt.Printf("%-34s %s %9s  %s %9s  ratio of times %.2f (goal %s)\n", what, stack, p50(stack), base, p50(base), float64(p50(stack))/float64(p50(base)), goal)
}

// ask sends a request, and discards the answer's body of size bytes, -1 for any.
func (b *bench) ask(t *testing.T, method, path string, body io.Reader, length, size int64) error {
	req := b.Request(t, method, "/workspaces/"+b.name+path, b.Token, "")
	if body != nil {
		req.Body, req.ContentLength = io.NopCloser(body), length
	}
	answer, err := b.http.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	n, err := io.Copy(io.Discard, answer.Body)
	if err == nil && (answer.StatusCode >= 300 || size >= 0 && n != size) {
		err = fmt.Errorf("%d, %d of %d bytes", answer.StatusCode, n, size)
	}
	return err
}

// page reads a page of a list, without what Do does to check it.
func (b *bench) page(t *testing.T, path string, into any) error {
	answer, err := b.http.Do(b.Request(t, "GET", "/workspaces/"+b.name+path, b.Token, ""))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%d", answer.StatusCode)
	}
	return json.NewDecoder(answer.Body).Decode(into)
}

// session runs a command line on the warm connection.
func (b *bench) session(line string, stdin io.Reader) error {
	s, err := b.warm.NewSession()
	if err != nil {
		return err
	}
	defer s.Close()
	s.Stdin, s.Stdout = stdin, io.Discard
	return s.Run(line)
}

// endless is a content of zeros.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// sized is a content that tells its size, of which pkg/sftp makes concurrent writes.
type sized struct {
	io.Reader
	n int64
}

func (s sized) Size() int64 { return s.n }

// bulk sends a large file up and down.
func (b *bench) bulk(t *testing.T) {
	size := int64(*benchMiB) << 20
	took := turns(t, *benchRounds,
		way{"stack", func() error { return b.ask(t, "PUT", "/files/up", io.LimitReader(endless{}, size), size, -1) }},
		way{"pkg/sftp", func() error {
			f, err := b.sftp.Create("root/up.sftp")
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.ReadFrom(sized{io.LimitReader(endless{}, size), size})
			return err
		}},
	)
	tell(fmt.Sprintf("%d MiB up", *benchMiB), "at most 1.25", took, "stack", "pkg/sftp")
	took = turns(t, *benchRounds,
		way{"stack", func() error { return b.ask(t, "GET", "/files/up", nil, 0, size) }},
		way{"pkg/sftp", func() error {
			f, err := b.sftp.Open("root/up.sftp")
			if err != nil {
				return err
			}
			defer f.Close()
			n, err := f.WriteTo(io.Discard)
			if err == nil && n != size {
				err = io.ErrUnexpectedEOF
			}
			return err
		}},
	)
	tell(fmt.Sprintf("%d MiB down", *benchMiB), "at most 1.25", took, "stack", "pkg/sftp")
}

// small reads a small file, beside a warm exec.
func (b *bench) small(t *testing.T) {
	b.put(t, "small", "a small file\n")
	exec := func() error {
		req := b.Request(t, "POST", "/workspaces/"+b.name+"/exec", b.Token, `{"cmd":["true"]}`)
		answer, err := b.http.Do(req)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != 200 {
			return fmt.Errorf("exec: %d, %w", answer.StatusCode, err)
		}
		return nil
	}
	took := turns(t, *benchRuns, way{"read", func() error { return b.ask(t, "GET", "/files/small", nil, 0, 13) }}, way{"exec", exec})
	tell("a small read, and an exec of true", "at most 2.00", took, "read", "exec")
}

// list lists a directory, all pages of it, beside find.
func (b *bench) list(t *testing.T) {
	b.mkdir(t, "many")
	for i := range *benchEntries {
		b.put(t, filepath.Join("many", strconv.Itoa(i)), "")
	}
	took := turns(t, *benchRounds,
		way{"stack", func() error {
			for cursor, found := "", 0; ; {
				var page struct {
					Items      []struct{}
					NextCursor string `json:"next_cursor"`
				}
				if err := b.page(t, "/files?path=many&limit=500&cursor="+cursor, &page); err != nil {
					return err
				}
				found += len(page.Items)
				if cursor = page.NextCursor; cursor == "" {
					if found != *benchEntries {
						return fmt.Errorf("%d entries", found)
					}
					return nil
				}
			}
		}},
		way{"find", func() error { return b.session(`find root/many -printf '%p %s %m %T@\n'`, nil) }},
	)
	tell(fmt.Sprintf("a listing of %d", *benchEntries), "at most 3.00", took, "stack", "find")
}

// tree carries a tree of small files as a tar, either way, beside tar.
func (b *bench) tree(t *testing.T) {
	for i := range *benchFiles {
		b.put(t, fmt.Sprintf("tree/%d/%d", i/100, i), strings.Repeat("x", 4096))
	}
	down := way{"stack", func() error { return b.ask(t, "GET", "/files/tree?archive=tar", nil, 0, -1) }}
	took := turns(t, *benchRounds, down, way{"tar", func() error { return b.session("tar -c -C root/tree .", nil) }})
	tell(fmt.Sprintf("a tree of %d files down", *benchFiles), "at most 3.00", took, "stack", "tar")
	archive := []byte(b.Do(t, "GET", "/workspaces/"+b.name+"/files/tree?archive=tar", b.Token, "").Body)
	took = turns(t, *benchRounds,
		way{"stack", func() error {
			return b.ask(t, "PUT", "/files/tree?archive=tar", bytes.NewReader(archive), int64(len(archive)), -1)
		}},
		way{"tar", func() error { return b.session("tar -x -C root/tree", bytes.NewReader(archive)) }},
	)
	tell(fmt.Sprintf("a tree of %d files up", *benchFiles), "at most 3.00", took, "stack", "tar")
}
