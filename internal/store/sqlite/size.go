package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Bytes tells what each of the database's files takes on the disk: "database", and
// "log", the write-ahead log, which is copied into it now and then and used again.
func (db *DB) Bytes() (map[string]int64, error) {
	sizes := map[string]int64{}
	for file, path := range map[string]string{"database": db.writer.path, "log": db.writer.path + "-wal"} {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) && file == "log" {
			sizes[file] = 0 // nothing was written yet
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("size of the database: %w", cause(err))
		}
		sizes[file] = info.Size()
	}
	return sizes, nil
}
