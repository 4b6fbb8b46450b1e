package recording_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/keys"
	"sallyport/internal/limits"
	"sallyport/internal/recording"
)

func newSealer(t *testing.T) *keys.Sealer {
	t.Helper()
	seal, err := keys.ReadSeal(keys.NewSeal())
	must(t, err)
	return seal
}

func newArchive(t *testing.T) *recording.Archive {
	t.Helper()
	return &recording.Archive{
		Dir: t.TempDir() + "/recordings", Seal: newSealer(t),
		BytesMax: limits.RecordingBytesMax, Retention: limits.RecordingRetention,
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newHeader(org, workspace string) recording.Header {
	return recording.Header{
		ID: id.New(), OrgID: org, WorkspaceID: workspace, Actor: "org-token:sp_org_x", CreatedAt: time.Now().UTC(),
		Cols: 120, Rows: 40, Term: "xterm-256color", Title: "bash -l",
	}
}

// written records outputs, and ends with the status.
func written(t *testing.T, a *recording.Archive, h recording.Header, outputs ...string) {
	t.Helper()
	w, err := a.Begin(h)
	must(t, err)
	for _, output := range outputs {
		must(t, w.Output([]byte(output)))
	}
	must(t, w.Close(sallyport.StatusOK))
}

func read(t *testing.T, a *recording.Archive, orgID, recordingID string) string {
	t.Helper()
	r, err := a.Open(orgID, recordingID)
	must(t, err)
	defer r.Close()
	text, err := io.ReadAll(r)
	must(t, err)
	return string(text)
}

// event is one line of an asciicast behind the first.
type event struct {
	at         float64
	kind, text string
}

// events parses a whole asciicast, as a player does.
func events(t *testing.T, text string) (header map[string]any, all []event) {
	t.Helper()
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if header == nil {
			must(t, json.Unmarshal(lines.Bytes(), &header))
			continue
		}
		var fields [3]any
		must(t, json.Unmarshal(lines.Bytes(), &fields))
		all = append(all, event{fields[0].(float64), fields[1].(string), fields[2].(string)})
	}
	must(t, lines.Err())
	return header, all
}

func outputOf(all []event) string {
	var b strings.Builder
	for _, e := range all {
		if e.kind == "o" {
			b.WriteString(e.text)
		}
	}
	return b.String()
}

// A recording is an asciicast of version 2: what was printed and when, and each size.
func TestAsciicast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArchive(t)
		h := newHeader("org", "ws")
		w, err := a.Begin(h)
		must(t, err)
		<-time.After(time.Minute)
		w.Start()
		must(t, w.Output([]byte("$ <ls> & \x1b[1m\r\n")))
		<-time.After(1500 * time.Millisecond)
		must(t, w.Resize(100, 30))
		must(t, w.Output([]byte("more")))
		must(t, w.Close(sallyport.StatusOK))

		header, got := events(t, read(t, a, "org", h.ID))
		want := map[string]any{
			"version": 2.0, "width": 120.0, "height": 40.0, "timestamp": float64(h.CreatedAt.Unix()),
			"env": map[string]any{"TERM": "xterm-256color"}, "title": "bash -l",
		}
		if fmt.Sprint(header) != fmt.Sprint(want) {
			t.Errorf("header %v, want %v", header, want)
		}
		wantEvents := []event{{0.0, "o", "$ <ls> & \x1b[1m\r\n"}, {1.5, "r", "100x30"}, {1.5, "o", "more"}}
		if !slices.Equal(got, wantEvents) {
			t.Errorf("events %v, want %v", got, wantEvents)
		}
		info, err := a.Find("org", h.ID)
		must(t, err)
		if !info.IsEnded || info.Status != sallyport.StatusOK || info.Duration != 1500*time.Millisecond ||
			info.Bytes != int64(len(read(t, a, "org", h.ID))) || info.Actor != h.Actor || !info.CreatedAt.Equal(h.CreatedAt) {
			t.Errorf("info %+v", info)
		}
	})
}

// A character that is cut anywhere stands whole in one event; bytes that are none become
// U+FFFD.
func TestCharacters(t *testing.T) {
	t.Parallel()
	const text = "añ€𝄞z\xff\xc3(\xf0\x9d\x84"
	const want = "añ€𝄞z\ufffd\ufffd(\ufffd\ufffd\ufffd"
	a := newArchive(t)
	for cut := range len(text) + 1 {
		for _, second := range []int{cut, min(cut+1, len(text))} {
			h := newHeader("org", "ws")
			written(t, a, h, text[:cut], text[cut:second], text[second:])
			if _, got := events(t, read(t, a, "org", h.ID)); outputOf(got) != want {
				t.Errorf("cut at %d and %d: %q, want %q", cut, second, outputOf(got), want)
			}
		}
	}
}

// A long recording comes back as it was, whatever the cut of what was printed.
func TestLong(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	h := newHeader("org", "ws")
	w, err := a.Begin(h)
	must(t, err)
	random := rand.New(rand.NewPCG(1, 2))
	var want strings.Builder
	for want.Len() < 1<<20 {
		piece := strings.Repeat(string(rune(random.IntN(0x300))), random.IntN(20_000))
		want.WriteString(piece)
		must(t, w.Output([]byte(piece)))
	}
	must(t, w.Close(sallyport.StatusError))
	if _, got := events(t, read(t, a, "org", h.ID)); outputOf(got) != want.String() {
		t.Error("another output than was recorded")
	}
}

// What was printed is in the file within a second, and there after a crash.
func TestWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArchive(t)
		h := newHeader("org", "ws")
		w, err := a.Begin(h)
		must(t, err)
		must(t, w.Output([]byte("before the crash")))
		<-time.After(time.Second)
		synctest.Wait()
		text := read(t, a, "org", h.ID) // nothing has closed it
		if _, got := events(t, text); outputOf(got) != "before the crash" {
			t.Errorf("read %v", got)
		}
		info, err := a.Find("org", h.ID)
		must(t, err)
		if info.IsEnded || info.Status != "" || info.Bytes != int64(len(text)) {
			t.Errorf("info %+v of %d bytes", info, len(text))
		}
		must(t, w.Close(sallyport.StatusOK))
	})
}

// A recording that is put on disk again and again while it goes on is whole, and so is one
// whose end comes beside that.
func TestSyncedWhileWritten(t *testing.T) {
	for _, beats := range []int{1, 3, 4, 5, 20} { // of which some end before a sync, at it, and behind it
		synctest.Test(t, func(t *testing.T) {
			a := newArchive(t)
			h := newHeader("org", "ws")
			w, err := a.Begin(h)
			must(t, err)
			var want strings.Builder
			for range beats {
				text := strings.Repeat("beat ", 8000) // more than is written at once
				want.WriteString(text)
				must(t, w.Output([]byte(text)))
				<-time.After(limits.RecordingSyncTime / 4)
			}
			must(t, w.Close(sallyport.StatusOK))
			if _, got := events(t, read(t, a, "org", h.ID)); outputOf(got) != want.String() {
				t.Errorf("%d beats: another output than was recorded", beats)
			}
			if n := a.Written(); n < int64(want.Len()) {
				t.Errorf("%d bytes are counted", n)
			}
		})
	}
}

// fileOf returns the path of the only recording in an archive.
func fileOf(t *testing.T, a *recording.Archive) string {
	t.Helper()
	var found []string
	must(t, filepath.WalkDir(a.Dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			found = append(found, path)
		}
		return err
	}))
	if len(found) != 1 {
		t.Fatalf("%d files: %q", len(found), found)
	}
	return found[0]
}

// A recording that was cut anywhere is a beginning of itself, and known as cut: it is never
// taken for one that ended so.
func TestCut(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	h := newHeader("org", "ws")
	written(t, a, h, strings.Repeat("first\r\n", 8000), strings.Repeat("second\r\n", 8000))
	path := fileOf(t, a)
	whole, err := os.ReadFile(path)
	must(t, err)
	text := read(t, a, "org", h.ID)
	for size := len(whole) - 1; size > 0; size -= 977 {
		must(t, os.Truncate(path, int64(size)))
		r, err := a.Open("org", h.ID)
		if err != nil {
			continue // not even the header is there
		}
		got, err := io.ReadAll(r)
		if err != nil || !strings.HasPrefix(text, string(got)) || r.Info.IsEnded {
			t.Fatalf("cut at %d: %d bytes, ended %v, %v", size, len(got), r.Info.IsEnded, err)
		}
		must(t, r.Close())
	}
}

// A file in which anything was changed, moved or left out can't be read to its end. Nothing
// of what was printed, or of who printed it, stands in it in clear.
func TestSealed(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	h := newHeader("org", "ws")
	outputs := []string{strings.Repeat("a", 30_000), strings.Repeat("b", 30_000), strings.Repeat("c", 30_000)}
	written(t, a, h, outputs...)
	path := fileOf(t, a)
	whole, err := os.ReadFile(path)
	must(t, err)
	for _, secret := range []string{"aaaa", h.Actor, h.Title, "version"} {
		if bytes.Contains(whole, []byte(secret)) {
			t.Errorf("%q stands in the file", secret)
		}
	}
	for at := 0; at < len(whole); at += 1009 {
		changed := bytes.Clone(whole)
		changed[at] ^= 1
		wantUnreadable(t, a, h.ID, path, changed)
	}
	wantUnreadable(t, a, h.ID, path, append(slices.Clone(whole[:40_000]), whole[45_000:]...))
	must(t, os.WriteFile(path, whole, 0o600))

	other := &recording.Archive{Dir: a.Dir, Seal: newSealer(t), BytesMax: a.BytesMax, Retention: a.Retention}
	if _, err := other.Open("org", h.ID); !errors.Is(err, keys.ErrSealKey) {
		t.Errorf("with another seal: %v", err)
	}
	moved := strings.Replace(path, ".ws.", ".another.", 1)
	must(t, os.Rename(path, moved))
	if _, err := a.Open("org", h.ID); !errors.Is(err, keys.ErrSealBroken) {
		t.Errorf("as another workspace's: %v", err)
	}
}

func wantUnreadable(t *testing.T, a *recording.Archive, recordingID, path string, content []byte) {
	t.Helper()
	must(t, os.WriteFile(path, content, 0o600))
	r, err := a.Open("org", recordingID)
	if err != nil {
		return
	}
	defer r.Close()
	if _, err := io.ReadAll(r); err == nil && r.Info.IsEnded {
		t.Error("a changed file was read to its end")
	}
}

// A recording has a bound: what doesn't fit is an error, and what came before is whole.
func TestFull(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	a.BytesMax = 100_000
	h := newHeader("org", "ws")
	w, err := a.Begin(h)
	must(t, err)
	piece, kept := []byte(strings.Repeat("x", 1000)), 0
	for err == nil {
		if err = w.Output(piece); err == nil {
			kept++
		}
	}
	if sallyport.CodeOf(err) != sallyport.CodeRecordingFull || kept < 90 {
		t.Fatalf("after %d: %v", kept, err)
	}
	select {
	case <-w.Failed():
	default:
		t.Error("Failed is not closed")
	}
	if again := w.Output([]byte("y")); !errors.Is(again, err) {
		t.Errorf("then: %v", again)
	}
	if err := w.Close(sallyport.StatusError); sallyport.CodeOf(err) != sallyport.CodeRecordingFull {
		t.Errorf("Close: %v", err)
	}
	text := read(t, a, "org", h.ID)
	if _, got := events(t, text); len(outputOf(got)) != kept*len(piece) || int64(len(text)) > a.BytesMax {
		t.Errorf("%d bytes of output in %d, want %d", len(outputOf(got)), len(text), kept*len(piece))
	}
	if info, err := a.Find("org", h.ID); err != nil || !info.IsEnded {
		t.Errorf("info %+v, %v", info, err)
	}
}

// Where nothing can be written there is no recording.
func TestNotWritable(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	must(t, os.WriteFile(a.Dir, nil, 0o600)) // a file where the directory should be
	if err := a.Check("org"); sallyport.CodeOf(err) != sallyport.CodePlatformUnavailable {
		t.Errorf("Check: %v", err)
	}
	if _, err := a.Begin(newHeader("org", "ws")); sallyport.CodeOf(err) != sallyport.CodePlatformUnavailable {
		t.Errorf("Begin: %v", err)
	}
	must(t, os.Remove(a.Dir))
	must(t, a.Check("org"))
	h := newHeader("org", "ws")
	written(t, a, h)
	if _, err := a.Begin(h); sallyport.CodeOf(err) != sallyport.CodePlatformUnavailable {
		t.Errorf("a second one of the same id: %v", err)
	}
}

// Recordings are listed by organisation and by workspace, newest first, in pages; and deleted.
func TestListAndDelete(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	var want []string
	for i := range 7 {
		h := newHeader("org", []string{"ws1", "ws2"}[i%2])
		written(t, a, h)
		want = append(want, h.ID)
	}
	written(t, a, newHeader("another", "ws1"))
	slices.Reverse(want)
	if got := ids(t, a, recording.Filter{OrgID: "org", Limit: 100}); !slices.Equal(got, want) {
		t.Errorf("all: %q, want %q", got, want)
	}
	if got := ids(t, a, recording.Filter{OrgID: "org", Limit: 3, Before: want[1]}); !slices.Equal(got, want[2:5]) {
		t.Errorf("a page: %q, want %q", got, want[2:5])
	}
	if got := ids(t, a, recording.Filter{OrgID: "org", WorkspaceID: "ws2", Limit: 2}); !slices.Equal(got, []string{want[1], want[3]}) {
		t.Errorf("of a workspace: %q", got)
	}
	if got := ids(t, a, recording.Filter{OrgID: "nobody", Limit: 2}); len(got) != 0 {
		t.Errorf("of nobody: %q", got)
	}
	if _, err := a.Find("another", want[0]); !errors.Is(err, recording.ErrNotFound) {
		t.Errorf("another organisation's: %v", err)
	}
	if err := a.Delete("another", want[0]); !errors.Is(err, recording.ErrNotFound) {
		t.Errorf("another organisation's: %v", err)
	}
	must(t, a.Delete("org", want[0]))
	if err := a.Delete("org", want[0]); !errors.Is(err, recording.ErrNotFound) {
		t.Errorf("twice: %v", err)
	}
	for _, odd := range []string{"", "..", "x", "../" + want[1]} {
		if _, err := a.Open("org", odd); !errors.Is(err, recording.ErrNotFound) {
			t.Errorf("%q: %v", odd, err)
		}
		if _, err := a.Open(odd, want[1]); !errors.Is(err, recording.ErrNotFound) {
			t.Errorf("of %q: %v", odd, err)
		}
	}
}

func ids(t *testing.T, a *recording.Archive, f recording.Filter) []string {
	t.Helper()
	list, err := a.List(t.Context(), f)
	must(t, err)
	var all []string
	for _, info := range list {
		all = append(all, info.ID)
	}
	return all
}

// A recording that can't be opened is listed all the same.
func TestListUnreadable(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	h := newHeader("org", "ws")
	written(t, a, h)
	a.Seal = newSealer(t)
	list, err := a.List(t.Context(), recording.Filter{OrgID: "org", Limit: 10})
	must(t, err)
	if len(list) != 1 || list[0].ID != h.ID || list[0].Status != sallyport.StatusError || list[0].Actor != "" {
		t.Errorf("listed %+v", list)
	}
}

// What is older than the retention is deleted, and nothing else.
func TestSweep(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	h := newHeader("org", "ws")
	written(t, a, h)
	must(t, a.Sweep(t.Context(), time.Now().Add(a.Retention-time.Minute)))
	if _, err := a.Find("org", h.ID); err != nil {
		t.Fatalf("deleted too early: %v", err)
	}
	must(t, a.Sweep(t.Context(), time.Now().Add(a.Retention+time.Minute)))
	if _, err := a.Find("org", h.ID); !errors.Is(err, recording.ErrNotFound) {
		t.Errorf("kept: %v", err)
	}
	if days, err := os.ReadDir(filepath.Join(a.Dir, "org")); err != nil || len(days) != 0 {
		t.Errorf("left: %v, %v", days, err)
	}
	must(t, (&recording.Archive{Dir: a.Dir + "/none"}).Sweep(t.Context(), time.Now()))
}
