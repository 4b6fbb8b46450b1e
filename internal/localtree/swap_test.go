//go:build linux

package localtree_test

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"sallyport/internal/localtree"
)

// TestSwappedLinks: a process that exchanges a directory and a link without pause never has
// anything written outside, or where the link leads within.
func TestSwappedLinks(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"../out", "other"} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			swapLinks(t, target)
		})
	}
}

func swapLinks(t *testing.T, target string) {
	out, in := outside(t)
	for _, dir := range []string{"/d", "/other"} {
		if err := os.Mkdir(in+dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(target, in+"/l"); err != nil {
		t.Fatal(err)
	}
	var swapping sync.WaitGroup
	stop := make(chan struct{})
	swapping.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = unix.Renameat2(unix.AT_FDCWD, in+"/d", unix.AT_FDCWD, in+"/l", unix.RENAME_EXCHANGE)
		}
	})
	written, refused := 0, 0
	for range 300 {
		sent := archive(t, &tar.Header{Typeflag: tar.TypeDir, Name: "d/", Mode: 0o755}, &tar.Header{Typeflag: tar.TypeReg, Name: "d/kept", Size: 1, Mode: 0o644}, &tar.Header{Typeflag: tar.TypeReg, Name: "d/new", Size: 1, Mode: 0o644})
		tree, err := localtree.Open(in)
		if err != nil {
			t.Fatal(err)
		}
		err = tree.Extract(bytes.NewReader(sent), &localtree.Extraction{Done: func(_ string, _ *tar.Header, err error) {
			if err == nil {
				written++
			} else {
				refused++
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		tree.Close()
		// What is read must not come from outside either.
		err = localtree.Walk(in, func(h *tar.Header, content io.Reader, err error) error {
			if content != nil {
				if got, _ := io.ReadAll(content); string(got) == "kept" {
					t.Errorf("%s was read from outside", h.Name)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	swapping.Wait()
	checkOutside(t, out)
	if entries, err := os.ReadDir(in + "/other"); err != nil || len(entries) > 0 {
		t.Errorf("through the link: %v, %v", entries, err)
	}
	t.Logf("%d entries written, %d refused", written, refused)
}
