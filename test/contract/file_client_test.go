package contract

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/test/faultproxy"
	"sallyport/test/stack"
)

// clientFiles returns a client's files of a workspace whose root is dir, and the proxy between.
func clientFiles(t *testing.T, f faultproxy.Faults) (files *client.Files, dir string, proxy *faultproxy.Proxy) {
	t.Helper()
	s := stack.Start(t, stack.Options{})
	org := newOrg(t, s, "a")
	token := newToken(t, s, "/orgs/"+org.ID, sallyport.AllScopes()...).Secret
	dir = t.TempDir()
	var ws sallyport.Workspace
	create(t, s, s.AdminToken, "/workspaces", sallyport.WorkspaceCreate{
		OrgID: org.ID, Name: "build", Tier: sallyport.TierFullHost, Connector: &sallyport.Connector{Type: sallyport.ConnectorLocal, Root: dir},
	}, &ws)
	proxy = faultproxy.Start(t, strings.TrimPrefix(s.URL, "http://"), f)
	c := client.New("http://"+proxy.Addr, token)
	t.Cleanup(c.Close)
	return c.Files("build"), dir, proxy
}

func writeLocal(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o640); err != nil {
		t.Fatal(err)
	}
}

// A workspace's files are an fs.FS like any other.
func TestClientFS(t *testing.T) {
	t.Parallel()
	files, dir, _ := clientFiles(t, faultproxy.Faults{})
	writeLocal(t, dir+"/a.txt", "hello")
	writeLocal(t, dir+"/d/e/f", "")
	writeLocal(t, dir+"/d/ä b%2F?#", "odd name")
	for link, target := range map[string]string{"link": "a.txt", "d/up": "../a.txt", "dlink": "d"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := fstest.TestFS(files.FS(), "a.txt", "d/e/f", "d/ä b%2F?#", "d/up", "link"); err != nil {
		t.Error(err)
	}
	if _, err := fs.Stat(files.FS(), "none"); !errors.Is(err, fs.ErrNotExist) || sallyport.CodeOf(err) != sallyport.CodeFileNotFound {
		t.Errorf("stat of what isn't there: %v", err)
	}
	if info, err := fs.Stat(files.FS(), "d/up"); err != nil || info.Name() != "up" || info.Size() != 5 || info.Mode() != 0o640 {
		t.Errorf("stat of a link: %v, %v", info, err)
	}
	if err := os.Symlink(dir+"/a.txt", dir+"/absolute"); err != nil {
		t.Fatal(err)
	}
	if got, err := fs.ReadFile(files.FS(), "absolute"); err != nil || string(got) != "hello" {
		t.Errorf("read through an absolute link: %q, %v", got, err)
	}
}

// Each method does what it says.
func TestClientFiles(t *testing.T) {
	t.Parallel()
	files, dir, _ := clientFiles(t, faultproxy.Faults{})
	ctx := t.Context()
	mode, at := fs.FileMode(0o600), time.Date(2020, 1, 2, 3, 4, 5, 678000000, time.UTC)
	e, err := files.Write(ctx, "a/b\xff.txt", strings.NewReader("one two"), client.WriteFile{Mode: &mode, ModTime: at, IfNew: true})
	if raw, _ := e.RawPath(); err != nil || raw != "a/b\xff.txt" || e.Mode != "0600" || !e.Mtime.Equal(at) {
		t.Fatalf("write: %+v, %v", e, err)
	}
	if _, err := files.Write(ctx, "a/b\xff.txt", strings.NewReader("x"), client.WriteFile{IfNew: true}); sallyport.CodeOf(err) != sallyport.CodePreconditionFailed {
		t.Errorf("write what is to be new: %v", err)
	}
	if done, err := files.Replace(ctx, "a/b\xff.txt", "two", "2", 1); err != nil || done.Replaced != 1 {
		t.Errorf("replace: %+v, %v", done, err)
	}
	if e, err := files.Chmod(ctx, "a/b\xff.txt", 0o640); err != nil || e.Mode != "0640" {
		t.Errorf("chmod: %+v, %v", e, err)
	}
	if _, err := files.Copy(ctx, "a", "c", client.PlaceFile{Recursive: true}); err != nil {
		t.Error(err)
	}
	if _, err := files.Move(ctx, "c/b\xff.txt", "m", client.PlaceFile{}); err != nil {
		t.Error(err)
	}
	if _, err := files.Mkdir(ctx, "x/y", 0o700); err != nil {
		t.Error(err)
	}
	if err := files.Remove(ctx, "a", false); sallyport.CodeOf(err) != sallyport.CodeNotEmpty {
		t.Errorf("remove a directory with something in it: %v", err)
	}
	if err := files.Remove(ctx, "a", true); err != nil {
		t.Error(err)
	}
	if got, _ := os.ReadFile(dir + "/m"); string(got) != "one 2" {
		t.Errorf("moved: %q", got)
	}
	names := ""
	for e, err := range files.All(ctx, "", client.ListFiles{Depth: 64}) {
		if err != nil {
			t.Fatal(err)
		}
		names += *e.Path + " "
	}
	if names != "c m x x/y " {
		t.Errorf("list: %s", names)
	}
	for _, bad := range []string{"/etc", "a//b", "..", "a/./b", "a\x00"} {
		if _, err := files.Stat(ctx, bad); sallyport.CodeOf(err) != sallyport.CodeInvalidPath {
			t.Errorf("stat %q: %v", bad, err)
		}
	}
}

// A tar goes up, and the same comes down.
func TestClientTar(t *testing.T) {
	t.Parallel()
	files, _, _ := clientFiles(t, faultproxy.Faults{})
	var sent bytes.Buffer
	w := tar.NewWriter(&sent)
	for _, h := range []*tar.Header{
		{Typeflag: tar.TypeDir, Name: "d/", Mode: 0o755}, {Name: "d/f", Mode: 0o644, Size: 3}, {Typeflag: tar.TypeFifo, Name: "d/p", Mode: 0o644},
	} {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			io.WriteString(w, "abc")
		}
	}
	w.Close()
	if done, err := files.Extract(t.Context(), "in", bytes.NewReader(sent.Bytes())); err != nil || done.Entries != 2 || done.Skipped != 1 {
		t.Fatalf("extract: %+v, %v", done, err)
	}
	if _, err := files.Extract(t.Context(), "cut", bytes.NewReader(sent.Bytes()[:700])); sallyport.CodeOf(err) != sallyport.CodeInvalidArchive {
		t.Errorf("extract what is cut: %v", err)
	}
	archive, err := files.Archive(t.Context(), "in")
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	r, names := tar.NewReader(archive), ""
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names += h.Name + " "
	}
	if names != "d/ d/f " || archive.Skipped() != 0 {
		t.Errorf("archive: %s, %d left out", names, archive.Skipped())
	}
}

// Whatever breaks on the way, a transfer that ends well is whole: the rest is sent, not all.
func TestClientTransfersAreTakenUp(t *testing.T) {
	t.Parallel()
	const cut = 3 << 20
	files, dir, proxy := clientFiles(t, faultproxy.Faults{})
	content := make([]byte, 8<<20)
	rand.NewChaCha8([32]byte{}).Read(content)
	writeLocal(t, dir+"/big", string(content))

	proxy.Set(faultproxy.Faults{CutDownAfter: cut})
	file, err := files.Open(t.Context(), "big")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	got, err := io.ReadAll(file)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("read %d bytes, equal %v, error %v", len(got), bytes.Equal(got, content), err)
	}
	if _, err := file.Seek(-5, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(file); err != nil || !bytes.Equal(got, content[len(content)-5:]) {
		t.Errorf("read behind a seek: %q, %v", got, err)
	}

	proxy.Set(faultproxy.Faults{CutUpAfter: cut})
	breaks := 0
	files.OnBreak = func(name string, offset int64, _ error) bool {
		breaks++
		return breaks <= 5
	}
	if _, err := files.Write(t.Context(), "up", bytes.NewReader(content), client.WriteFile{}); err != nil {
		t.Error(err)
	}
	if got, _ := os.ReadFile(dir + "/up"); !bytes.Equal(got, content) || breaks == 0 {
		t.Errorf("written: %d bytes, equal %v, after %d breaks", len(got), bytes.Equal(got, content), breaks)
	}

	// What can't be read again can't be taken up, and changes nothing.
	if _, err := files.Write(t.Context(), "up", io.MultiReader(bytes.NewReader(content)), client.WriteFile{}); err == nil {
		t.Error("a write that broke off ended well")
	}
	if got, _ := os.ReadFile(dir + "/up"); !bytes.Equal(got, content) {
		t.Error("a write that broke off changed the file")
	}
}

// A file that changes while it is read, and breaks off, is never a mixture.
func TestClientNeverMixes(t *testing.T) {
	t.Parallel()
	files, dir, proxy := clientFiles(t, faultproxy.Faults{CutDownAfter: 1 << 20})
	content := bytes.Repeat([]byte("a"), 4<<20)
	writeLocal(t, dir+"/big", string(content))
	file, err := files.Open(t.Context(), "big")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	writeLocal(t, dir+"/new", string(bytes.Repeat([]byte("b"), 4<<20)))
	if err := os.Rename(dir+"/new", dir+"/big"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, file); !errors.Is(err, client.ErrFileChanged) {
		t.Errorf("read on: %v", err)
	}
	proxy.Set(faultproxy.Faults{})
	ctx, cancel := context.WithCancel(t.Context())
	file, err = files.Open(ctx, "big")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cancel()
	if _, err := io.Copy(io.Discard, file); !errors.Is(err, context.Canceled) {
		t.Errorf("read after cancel: %v", err)
	}
}
