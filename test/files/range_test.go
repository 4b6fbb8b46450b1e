package files

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"

	"sallyport/test/spec"
)

// rangeReader reads a URL as io.ReaderAt, knowing nothing but HTTP.
type rangeReader struct {
	t      testing.TB
	client *http.Client
	url    string
	token  string
}

func (r *rangeReader) get(method, byteRange string) *http.Response {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url, nil)
	must(r.t, err)
	req.Header.Set("Authorization", "Bearer "+r.token)
	if byteRange != "" {
		req.Header.Set("Range", byteRange)
	}
	resp, err := r.client.Do(req)
	must(r.t, err)
	return resp
}

// ReadAt implements io.ReaderAt.
func (r *rangeReader) ReadAt(p []byte, off int64) (int, error) {
	resp := r.get(http.MethodGet, fmt.Sprintf("bytes=%d-%d", off, off+int64(len(p))-1))
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusPartialContent {
		return 0, fmt.Errorf("status %d", resp.StatusCode)
	}
	return io.ReadFull(resp.Body, p)
}

// An archive is opened by ranges, without all of it coming here.
func TestRangeReader(t *testing.T) {
	each(t, func(t *testing.T, m *machine) {
		var packed bytes.Buffer
		z := zip.NewWriter(&packed)
		for _, name := range []string{"a", "b"} {
			w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
			must(t, err)
			_, err = w.Write(bytes.Repeat([]byte(name), 100_000))
			must(t, err)
		}
		must(t, z.Close())
		m.put(t, "packed.zip", packed.String())
		web := &http.Transport{}
		t.Cleanup(web.CloseIdleConnections)
		r := &rangeReader{t: t, client: &http.Client{Transport: spec.Watch(t, web)}, url: m.URL + "/workspaces/" + m.name + "/files/packed.zip", token: m.Token}
		head := r.get(http.MethodHead, "")
		head.Body.Close()
		opened, err := zip.NewReader(r, head.ContentLength)
		must(t, err)
		f, err := opened.Open("b")
		must(t, err)
		if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, bytes.Repeat([]byte("b"), 100_000)) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}
