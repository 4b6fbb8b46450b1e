package files

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"path"
	"strings"
)

// Bounds of what waits in memory to be written together.
const (
	// writeTogetherMax is the size, in bytes, from which a file goes alone.
	writeTogetherMax = 64 << 10
	// batchBytesMax bounds the content that waits. It is held twice while it is sent.
	batchBytesMax = 512 << 10
)

// batch is files of one directory, each name once.
type batch struct {
	files []batchFile
	bytes int64
	names int
	// isOff is set where the machine's tar can't be used.
	isOff bool
}

type batchFile struct {
	path, name string
	header     *tar.Header
	content    []byte
}

// keep takes an entry to be extracted together with others, if it is a small file, and
// tells whether it did.
func (x *extraction) keep(h *tar.Header, content io.Reader) (kept bool, err error) {
	if x.batch.isOff || h.Typeflag != tar.TypeReg && h.Typeflag != '\x00' || h.Size >= writeTogetherMax || isSparse(h) {
		return false, nil
	}
	name, err := entryName(h.Name)
	if name == "" || err != nil {
		return false, nil // which is told where it is taken alone
	}
	f := batchFile{path: join(x.base, name), name: name, header: h}
	if !x.batch.hasRoom(f) {
		if err := x.flush(); err != nil {
			return false, err
		}
	}
	f.content = make([]byte, h.Size)
	n, err := io.ReadFull(content, f.content)
	x.done.Bytes += int64(n)
	if err != nil {
		if err := x.flush(); err != nil {
			return false, err
		}
		return false, invalidArchive(err)
	}
	x.batch.files = append(x.batch.files, f)
	x.batch.bytes += h.Size
	x.batch.names += len(escaped(path.Base(f.path))) + 1
	return true, nil
}

func (b *batch) hasRoom(f batchFile) bool {
	if len(b.files) == 0 {
		return true
	}
	if len(b.files) >= togetherFilesMax || b.bytes+f.header.Size > batchBytesMax || b.names+len(escaped(path.Base(f.path))) > togetherNamesMax {
		return false
	}
	for _, other := range b.files {
		if other.path == f.path {
			return false
		}
	}
	return path.Dir(b.files[0].path) == path.Dir(f.path)
}

// flush extracts the files that wait: together, or else each by itself, which tells what is
// in the way.
func (x *extraction) flush() error {
	b := x.batch
	x.batch = batch{isOff: b.isOff}
	if len(b.files) > 1 {
		done, err := x.send(b)
		if done || err != nil {
			return err
		}
	}
	for _, f := range b.files {
		x.done.Bytes -= int64(len(f.content)) // file counts it
		if err := x.file(f.path, f.name, f.header, bytes.NewReader(f.content)); err != nil {
			return err
		}
	}
	return nil
}

// send has the machine's tar write the files of b. Where it isn't done, nothing has been
// changed, or some of them have been, as they are to be.
func (x *extraction) send(b batch) (done bool, err error) {
	packed, names, err := b.pack()
	if err != nil {
		return false, err
	}
	if err := x.s.say("b %d - %s %s", packed.Len(), escaped(path.Dir(b.files[0].path)), names); err != nil {
		return false, x.s.refused(err)
	}
	no, err := x.s.answer("yes")
	if no != "" || err != nil {
		x.batch.isOff = no == "unsupported"
		return false, err
	}
	if _, err := packed.WriteTo(x.s.in); err != nil {
		return false, x.s.refused(err)
	}
	no, err = x.s.answer("done")
	if no != "" || err != nil {
		return false, err
	}
	for _, f := range b.files {
		x.files[f.name] = true
	}
	x.done.Entries += int64(len(b.files))
	return true, nil
}

// pack returns a tar of the files, by their names alone, and those, a slash behind each.
func (b *batch) pack() (packed *bytes.Buffer, names string, err error) {
	var line strings.Builder
	packed = &bytes.Buffer{}
	out := tar.NewWriter(packed)
	for _, f := range b.files {
		name := path.Base(f.path)
		line.WriteString(escaped(name) + "/")
		e := Entry{Size: f.header.Size, Mode: uint32(f.header.Mode & 0o777), ModTime: f.header.ModTime}
		if err := out.WriteHeader(header(e, name, tar.TypeReg)); err != nil {
			return nil, "", fmt.Errorf("pack %q: %w", name, err)
		}
		if _, err := out.Write(f.content); err != nil {
			return nil, "", fmt.Errorf("pack %q: %w", name, err)
		}
	}
	return packed, line.String(), out.Close()
}
