//go:build linux

package faults

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/client/sallyport"
)

var (
	transferMiB = flag.Int64("transfer-mib", 128, "how large a file is whose way through a server may not cost it 32 MiB")
	fileWrites  = flag.Int("file-writes", 60, "how many writes of files a server is killed in, one kill for every 20")
)

// filesChild is a server whose workspace local has the root dir.
type filesChild struct {
	*child
	http *http.Client
	dir  string
}

func newFilesChild(t *testing.T, o childOptions, dir string) *filesChild {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 32, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	c := &filesChild{child: startChild(t, o), http: &http.Client{Transport: transport}, dir: dir}
	body, err := json.Marshal(map[string]any{"connector": sallyport.Connector{Type: sallyport.ConnectorLocal, Root: dir}})
	if err != nil {
		t.Fatal(err)
	}
	if a := c.Do(t, http.MethodPatch, "/workspaces/local", c.Token, string(body)); a.Status != http.StatusOK {
		t.Fatalf("workspace: %d %s", a.Status, a.Body)
	}
	return c
}

// send sends a request with a body of size bytes, -1 where that isn't told, and returns the
// answer's status, and its body. The error is that of the way there and back.
func (c *filesChild) send(t testing.TB, method, path string, body io.Reader, size int64, header ...string) (int, []byte, error) {
	req := c.Request(t, method, "/workspaces/local"+path, c.Token, "")
	if body != nil {
		req.Body, req.ContentLength = io.NopCloser(body), size
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	answer, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, text, err
}

// mustSend is send of what must succeed.
func (c *filesChild) mustSend(t testing.TB, method, path string, body io.Reader, size int64, header ...string) []byte {
	t.Helper()
	status, text, err := c.send(t, method, path, body, size, header...)
	if err != nil || status >= 300 {
		t.Fatalf("%s %s: %d %.300s, %v", method, path, status, text, err)
	}
	return text
}

// mustDrain reads a file, and wants it to have so many bytes.
func (c *filesChild) mustDrain(t testing.TB, path string, size int64) {
	t.Helper()
	answer, err := c.http.Do(c.Request(t, http.MethodGet, "/workspaces/local"+path, c.Token, ""))
	if err != nil {
		t.Error(err)
		return
	}
	defer answer.Body.Close()
	if n, err := io.Copy(io.Discard, answer.Body); err != nil || n != size || answer.StatusCode != http.StatusOK {
		t.Errorf("%s: %d, %d of %d bytes, %v", path, answer.StatusCode, n, size, err)
	}
}

// pattern is an endless content.
type pattern struct{}

func (pattern) Read(p []byte) (int, error) {
	for i := 0; i < len(p); i += len(textLine) {
		copy(p[i:], textLine)
	}
	return len(p), nil
}

func content(size int64) io.Reader { return io.LimitReader(pattern{}, size) }

// TestMemoryOfTransfers sends a large file up and down, also to callers that stop, and the
// largest attachments: the server's memory stays what it was.
func TestMemoryOfTransfers(t *testing.T) {
	t.Parallel()
	size := *transferMiB << 20
	c := newFilesChild(t, childOptions{}, t.TempDir())
	c.mustSend(t, http.MethodPut, "/files/warm", content(warmUpBytes), warmUpBytes)
	c.mustDrain(t, "/files/warm", warmUpBytes)
	baseline := memory(t, c.pid(), "VmRSS")
	grown := func(what string) {
		t.Helper()
		peak := memory(t, c.pid(), "VmHWM")
		t.Logf("%s: memory %d KiB before, %d KiB at most", what, baseline>>10, peak>>10)
		if peak-baseline > raceMemory*memoryGrowthMax {
			t.Errorf("%s: the server grew by %d KiB", what, (peak-baseline)>>10)
		}
		resetPeak(t, c.pid())
	}
	resetPeak(t, c.pid())
	c.mustSend(t, http.MethodPut, "/files/large", content(size), size)
	grown("up")
	c.mustSend(t, http.MethodPut, "/files/chunked", content(size), -1)
	grown("up, of unknown length")
	c.mustDrain(t, "/files/large", size)
	grown("down")
	c.stop(t)
	grown("callers that stop")
	c.attach(t)
	grown("attachments")
}

// stop has callers send and take a part of a large file, and then nothing.
func (c *filesChild) stop(t *testing.T) {
	t.Helper()
	head := "%s /workspaces/local/files/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n"
	for range 3 {
		down, up := dial(t, c.Stack), dial(t, c.Stack)
		defer down.Close()
		defer up.Close()
		fmt.Fprintf(down, head, http.MethodGet, "large", c.Token, 0)
		if _, err := io.ReadFull(down, make([]byte, 4<<10)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(up, head, http.MethodPut, "stopped", c.Token, *transferMiB<<20)
		if _, err := io.CopyN(up, pattern{}, 8<<20); err != nil {
			t.Fatal(err)
		}
	}
	c.awaitRest(t)
	c.mustDrain(t, "/files/warm", warmUpBytes)
}

// awaitRest waits until the server has done nothing for a while.
func (c *filesChild) awaitRest(t *testing.T) {
	t.Helper()
	const still = 500 * time.Millisecond
	io := func() string {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", c.pid()))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.SplitN(string(text), "\n", 3)
		return lines[0] + lines[1] // bytes that were read, and written
	}
	last, since := io(), time.Now()
	await(t, time.Minute, "the callers to be held up", func() bool {
		if now := io(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > still
	})
}

// attach sends and takes two of the largest attachments at once.
func (c *filesChild) attach(t *testing.T) {
	t.Helper()
	const size = 25 << 20
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			var head bytes.Buffer
			form := multipart.NewWriter(&head)
			if _, err := form.CreateFormFile("f", "f"); err != nil {
				t.Error(err)
			}
			end := "\r\n--" + form.Boundary() + "--\r\n"
			body := io.MultiReader(&head, content(size), strings.NewReader(end))
			status, text, err := c.send(t, http.MethodPost, "/attachments", body, int64(head.Len()+size+len(end)), "Content-Type: "+form.FormDataContentType())
			var made sallyport.Attached
			if err != nil || status != http.StatusCreated || json.Unmarshal(text, &made) != nil || len(made.Items) != 1 {
				t.Errorf("attach: %d %.300s, %v", status, text, err)
				return
			}
			c.mustDrain(t, "/attachments/"+made.Items[0].ID+"/content", size)
		})
	}
	all.Wait()
}

// TestKilledWhileWriting kills the server at random moments of many writes, and starts it
// again on the same data: each file is the old or the new one, whole, nothing else is left
// beside it, and each write has its row, complete or interrupted.
func TestKilledWhileWriting(t *testing.T) {
	t.Parallel()
	const writesARound = 20
	k := &killing{dataDir: filepath.Join(t.TempDir(), "data"), dir: t.TempDir()}
	for i := range k.files {
		k.files[i] = versions{name: fmt.Sprint("f", i)}
	}
	chance := newRand(t)
	for sent := 0; sent < *fileWrites; sent += writesARound {
		c := newFilesChild(t, childOptions{dataDir: k.dataDir}, k.dir)
		k.check(t, c)
		k.round(t, c, writesARound/len(k.files), chance)
	}
	k.check(t, newFilesChild(t, childOptions{dataDir: k.dataDir}, k.dir))
	t.Logf("%d writes were answered, %d were under way at a kill; %d of those came to be", k.answered, k.cut, k.won)
}

// killing is what is known of all writes so far.
type killing struct {
	dataDir, dir string
	files        [4]versions
	// How many writes were answered, cut off by a kill, and of those had come to be.
	answered, cut, won int
}

// versions are those of one file, which one writer writes.
type versions struct {
	name string
	// old is the last version whose write was answered, and next the last that was sent.
	old, next int
	// checked is the version at the last check, and unanswered the last that came to be
	// without an answer.
	checked, unanswered int
}

// round has each file written again and again, and kills the server in the middle of it, a
// while after some writes were answered.
func (k *killing) round(t *testing.T, c *filesChild, each int, chance *rand.Rand) {
	t.Helper()
	var all sync.WaitGroup
	answers := make(chan struct{}, each*len(k.files))
	awaited, after := chance.IntN(each*len(k.files)/2), time.Duration(chance.Int64N(int64(killAfterMax/4)))
	sizes := [len(k.files)][]int{}
	for i := range sizes {
		for range each {
			sizes[i] = append(sizes[i], 100+chance.IntN(1<<20))
		}
	}
	for i := range k.files {
		all.Go(func() {
			f := &k.files[i]
			for _, size := range sizes[i] {
				f.next++
				body := version(f.name, f.next, size)
				status, text, err := c.send(t, http.MethodPut, "/files/"+f.name, bytes.NewReader(body), int64(size))
				if err != nil {
					return // killed before the end
				}
				if status >= 300 {
					t.Errorf("%s: %d %s", f.name, status, text)
				}
				f.old = f.next
				answers <- struct{}{}
			}
		})
	}
	for range awaited {
		<-answers
	}
	<-time.After(after)
	c.kill()
	all.Wait()
}

// version is a content of which every part tells what it is of.
func version(name string, n, size int) []byte {
	mark := fmt.Sprintf("%s version %d of %d bytes\n", name, n, size)
	return bytes.Repeat([]byte(mark), size/len(mark)+1)[:size]
}

// check holds the files and the rows to what callers came to know.
func (k *killing) check(t *testing.T, c *filesChild) {
	t.Helper()
	await(t, time.Minute, "what was under way to be cleared away", func() bool { // by the scripts themselves
		left, err := filepath.Glob(filepath.Join(k.dir, ".sallyport*"))
		return err == nil && len(left) == 0
	})
	sums, interrupted := map[string]bool{}, map[string]bool{}
	for _, row := range c.Rows(t, "type="+sallyport.ActivityFile) {
		switch {
		case row.CompletedAt == nil, row.Op != sallyport.FileOpWrite:
			t.Errorf("row %+v", row)
		case row.Status == sallyport.StatusOK:
			sums[row.SHA256] = true
		case row.Status == sallyport.StatusInterrupted:
			interrupted[row.Path] = true
		default:
			t.Errorf("row %+v", row)
		}
	}
	for i := range k.files {
		f := &k.files[i]
		n, sum := k.there(t, f.name)
		switch {
		case n != f.old && n != f.next:
			t.Errorf("%s is version %d; %d was answered, and %d was under way", f.name, n, f.old, f.next)
		case n > 0 && !sums[sum] && (n != f.unanswered && n == f.old || !interrupted[f.name]):
			t.Errorf("%s is version %d, of which there is no row", f.name, n)
		}
		k.answered += f.old - f.checked
		if f.next != f.old {
			k.cut++
		}
		if n != f.old {
			k.won++
			f.unanswered = n
		}
		f.old, f.next, f.checked = n, max(n, f.next), n
	}
}

// there reads a file, which must be whole, and tells its version, 0 for none, and its SHA-256.
func (k *killing) there(t *testing.T, name string) (n int, sum string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(k.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, ""
	}
	var size int
	if _, scanErr := fmt.Sscanf(string(text[:min(len(text), 100)]), name+" version %d of %d bytes", &n, &size); err != nil || scanErr != nil || !bytes.Equal(text, version(name, n, size)) {
		t.Errorf("%s has %d bytes and is no version of its own: %v, %v", name, len(text), err, scanErr)
	}
	s := sha256.Sum256(text)
	return n, hex.EncodeToString(s[:])
}
