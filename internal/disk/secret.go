package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Permissions that a file with a secret must not give to everyone on the machine.
const (
	// NotWritable: mounted secrets are commonly readable by all (0644 in Kubernetes,
	// 0444 in Docker), and that is their mount's to judge. Writable by all is nobody's
	// secret.
	NotWritable fs.FileMode = 0o002
	// NotReadable is ssh's rule for private keys, but that a group may read them: it is
	// how a server with a user of its own is given what root owns.
	NotReadable fs.FileMode = 0o006
)

// ReadSecret returns the content of a file, unless everyone has a forbidden permission. The
// caller clears it.
func ReadSecret(path string, bytesMax int, forbidden fs.FileMode) ([]byte, error) {
	f, info, err := Open(path)
	if err != nil {
		return nil, fmt.Errorf("the file can't be read: %w", err)
	}
	defer f.Close()
	if err := checkOthers(info.Mode().Perm(), forbidden); err != nil {
		return nil, err
	}
	body := make([]byte, bytesMax+1)
	n, err := io.ReadFull(f, body)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("the file can't be read: %w", Cause(err))
	}
	if n > bytesMax {
		clear(body)
		return nil, fmt.Errorf("the file is larger than %d bytes", bytesMax)
	}
	return body[:n], nil
}

func checkOthers(mode, forbidden fs.FileMode) error {
	switch others := mode & forbidden; {
	case others&0o002 != 0:
		return fmt.Errorf("everyone on this machine may write the file (mode %04o): take that away with chmod o-w FILE", mode)
	case others != 0:
		return fmt.Errorf("everyone on this machine may read the file (mode %04o): take that away with chmod o-r FILE", mode)
	}
	return nil
}

// Open opens a regular file for reading. It doesn't wait, as for the writer
// of a named pipe. The caller closes the file.
func Open(path string) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, Cause(err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		return nil, nil, errors.Join(Cause(err), f.Close())
	}
	return f, info, nil
}
