package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"syscall"

	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"sallyport/internal/store"
)

// codeOf returns SQLite's extended result code, 0 if err isn't SQLite's.
func codeOf(err error) int {
	if e, ok := errors.AsType[*driver.Error](err); ok {
		return e.Code()
	}
	return 0
}

// primary strips an extended code of its details.
func primary(code int) int { return code & 0xff }

func isBusy(err error) bool { return primary(codeOf(err)) == codes.SQLITE_BUSY }

// known turns SQLite's errors into those of package store where it is one
// of them: a row is not there, or the one that it would belong to.
func known(err error) error {
	if errors.Is(err, sql.ErrNoRows) || codeOf(err) == codes.SQLITE_CONSTRAINT_FOREIGNKEY {
		return store.ErrNotFound
	}
	return err
}

// callerError is the error of a caller's own function.
type callerError struct{ error }

// wrap says what was being done when err happened. Nil and a caller's own error
// stay as they are.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	if own, ok := errors.AsType[callerError](err); ok {
		return own.error
	}
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), known(err))
}

// unwritable marks an error of a commit that is due to what is in its rows.
func unwritable(err error) error {
	switch primary(codeOf(err)) {
	case codes.SQLITE_CONSTRAINT, codes.SQLITE_TOOBIG, codes.SQLITE_MISMATCH, codes.SQLITE_RANGE:
		return fmt.Errorf("%w: %w", store.ErrUnwritable, err)
	}
	return err
}

// nameInUse turns a breach of uniqueness into ErrConflict. It is for statements
// that set a name and nothing else that must be unique.
func nameInUse(err error) error {
	if codeOf(err) == codes.SQLITE_CONSTRAINT_UNIQUE {
		return store.ErrConflict
	}
	return err
}

// explain puts before SQLite's words what an operator can do about a file in dir
// that can't be opened.
func explain(err error, dir string) error {
	switch primary(codeOf(err)) {
	case codes.SQLITE_NOTADB:
		return fmt.Errorf("it is not a SQLite database: %w", err)
	case codes.SQLITE_CORRUPT:
		return fmt.Errorf("it is corrupt, restore it from a backup: %w", err)
	case codes.SQLITE_READONLY, codes.SQLITE_CANTOPEN, codes.SQLITE_PERM:
		if isOutOfFiles() { // SQLite keeps the system's reason to itself
			return fmt.Errorf("too many files are open: raise the limit, LimitNOFILE= in the systemd unit or ulimit -n: %w", err)
		}
		return fmt.Errorf("the file or its directory can't be written: %w", err)
	case codes.SQLITE_FULL:
		return fmt.Errorf("its disk is full: %w", err)
	case codes.SQLITE_IOERR:
		// SQLite keeps the system's reason to itself.
		if errors.Is(tryWriting(dir), syscall.ENOSPC) {
			return fmt.Errorf("its disk is full: %w", err)
		}
		return err
	case codes.SQLITE_BUSY:
		return fmt.Errorf("another process holds it locked: %w", err)
	default:
		return err
	}
}

// isOutOfFiles tells whether the process may open no more files than a few. What the
// store had open when it failed is closed by now.
func isOutOfFiles() bool {
	const storeFiles = 64 // more than all of the store's connections take
	var opened []*os.File
	defer func() {
		for _, f := range opened {
			_ = f.Close() // nothing was written
		}
	}()
	for range storeFiles {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
		}
		opened = append(opened, f)
	}
	return false
}

// tryWriting makes a file in dir, as large as what SQLite asks for at a time, and
// removes it.
func tryWriting(dir string) error {
	const size = 32 << 10
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, size))
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}
