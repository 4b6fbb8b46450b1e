package files

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"sallyport/test/stack"
)

var (
	readers      = flag.Int("readers", 6, "how many read a file without a pause while it is written")
	readerWrites = flag.Int("reader-writes", 8, "how often it is written meanwhile")
)

// Whoever reads a file while it is written sees an old or the new one, whole, and its entity
// tag is that of this content alone.
func TestReadersDuringWrites(t *testing.T) {
	t.Parallel()
	m := embedded(t, stack.Start(t, stack.Options{Env: map[string]string{
		"SALLYPORT_LIMITS_RUNNING_FILES_PER_WORKSPACE": "100",
	}}))
	contents := tagged{sums: map[string]string{}}
	write := func(n int) {
		content := strings.Repeat(fmt.Sprintf("version %06d\n", n), 1+rand.IntN(20_000))
		a := m.Do(t, "PUT", "/workspaces/here/files/f", m.Token, content)
		if a.Status >= 300 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		contents.note(t, a.Header.Get("ETag"), content)
	}
	write(0)
	var over atomic.Bool
	var reading sync.WaitGroup
	var reads atomic.Int64
	for range *readers {
		reading.Go(func() {
			for !over.Load() {
				a := m.Do(t, "GET", "/workspaces/here/files/f", m.Token, "")
				first, _, _ := strings.Cut(a.Body, "\n")
				if a.Status != 200 || a.Header.Get("Content-Length") != strconv.Itoa(len(a.Body)) ||
					a.Body != strings.Repeat(first+"\n", len(a.Body)/(len(first)+1)) {
					t.Errorf("%d, %d bytes that begin with %q", a.Status, len(a.Body), first)
					return
				}
				contents.note(t, a.Header.Get("ETag"), a.Body)
				reads.Add(1)
			}
		})
	}
	for n := range *readerWrites {
		write(n + 1)
	}
	over.Store(true)
	reading.Wait()
	t.Logf("%d reads of %d contents", reads.Load(), len(contents.sums))
}

// tagged are contents by their entity tags.
type tagged struct {
	mu   sync.Mutex // guards sums
	sums map[string]string
}

// note wants a tag to be that of one content.
func (c *tagged) note(t *testing.T, etag, content string) {
	t.Helper()
	s := sha256.Sum256([]byte(content))
	sum := hex.EncodeToString(s[:])
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.sums[etag]; ok && old != sum || !strings.HasPrefix(etag, `"`) {
		t.Errorf("the tag %s is of two contents", etag)
	}
	c.sums[etag] = sum
}
