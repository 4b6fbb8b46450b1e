package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// Lost tells, in words, that the file path, or its write-ahead log, isn't what a database
// that was there has left: nil is that nothing speaks for a loss. SQLite itself would say
// nothing: a missing or empty file is a new database to it, whatever log lies beside it,
// and a log that is garbage is no log. used says that there was a database.
func Lost(path string, used bool) error {
	log, err := os.Stat(path + "-wal")
	hasLog := err == nil && log.Size() > 0
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist) && (used || hasLog):
		return fmt.Errorf("database %s is gone", path)
	case err == nil && info.Mode().IsRegular() && info.Size() == 0 && (used || hasLog):
		return fmt.Errorf("database %s is empty", path)
	case err != nil || !hasLog:
		return nil // opening it will say more
	}
	garbage, err := isGarbage(path + "-wal")
	if err == nil && garbage {
		err = fmt.Errorf("the write-ahead log of database %s is garbage, and what stood in it alone is gone", path)
	}
	return err
}

// GiveUp puts a write-ahead log aside that is garbage: nothing reads it, and an operator
// may want it.
func GiveUp(path string) error {
	garbage, err := isGarbage(path + "-wal")
	if err != nil || !garbage {
		return err
	}
	return os.Rename(path+"-wal", path+"-wal.garbage")
}

// Of the header of a write-ahead log (https://www.sqlite.org/fileformat2.html#walformat).
const (
	walHeaderBytes  = 32
	walMagic        = 0x377f0682 // with the last bit set, checksums are of big-endian words
	walCheckedBytes = 24
)

// isGarbage tells whether a write-ahead log has a header that SQLite never wrote. One that
// is short or all zero was made just before a crash of the machine, with nothing committed
// in it: SQLite syncs it with its first commit. The file is opened only while no database
// of this process has it: closing it would drop the locks on it.
func isGarbage(path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, cause(err)
	}
	defer f.Close()
	var header [walHeaderBytes]byte
	if _, err := io.ReadFull(f, header[:]); err != nil || header == [walHeaderBytes]byte{} {
		return false, nil //nolint:nilerr // it is too short to be anything
	}
	magic := binary.BigEndian.Uint32(header[:])
	if magic&^1 != walMagic {
		return true, nil
	}
	var order binary.ByteOrder = binary.LittleEndian
	if magic&1 == 1 {
		order = binary.BigEndian
	}
	var s0, s1 uint32
	for i := 0; i < walCheckedBytes; i += 8 {
		s0 += order.Uint32(header[i:]) + s1
		s1 += order.Uint32(header[i+4:]) + s0
	}
	return s0 != binary.BigEndian.Uint32(header[24:]) || s1 != binary.BigEndian.Uint32(header[28:]), nil
}
