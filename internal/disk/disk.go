// Package disk handles a server's own files: secrets that others may not
// read, files that are there whole or not at all, and room for them.
package disk

import (
	"errors"
	"fmt"
	"os"
)

// Cause leaves out what the message says already: the path.
func Cause(err error) error {
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// SizeText is a number of bytes for a person.
func SizeText(bytes uint64) string {
	const unit = 1024
	if bytes < unit {
		return fmt.Sprintf("%d bytes", bytes)
	}
	value, units := float64(bytes)/unit, []string{"KiB", "MiB", "GiB", "TiB", "PiB"}
	for value >= unit && len(units) > 1 {
		value, units = value/unit, units[1:]
	}
	return fmt.Sprintf("%.1f %s", value, units[0])
}
