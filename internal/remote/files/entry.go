package files

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Type is what an entry is.
type Type string

// Types of entries.
const (
	File  Type = "file"
	Dir   Type = "dir"
	Link  Type = "link"
	Other Type = "other"
)

// Entry is one name below a root, as the machine tells it.
type Entry struct {
	// Path is relative to the root; empty is the root itself.
	Path string
	Type Type
	// Size is in bytes; 0 but for a file.
	Size int64
	// Mode holds the permissions and the set-id and sticky bits, as chmod takes them.
	Mode uint32
	// ModTime has the fraction that the machine tells.
	ModTime  time.Time
	UID, GID int
	// Target is that of a link.
	Target string
	// ETag is the strong entity tag of a file, with its quotes; empty for others. It
	// differs whenever two contents at a path, one after the other, differ: it is made of
	// what tells inodes and changes apart.
	ETag string
	// Unreadable is set for a directory below which nothing could be listed.
	Unreadable bool
}

// Bits of st_mode (POSIX, sys/stat.h), as Linux has them.
const (
	modeType = 0o170000
	modeFile = 0o100000
	modeDir  = 0o040000
	modeLink = 0o120000
	modeBits = 0o007777
)

// statFields is how many words statFormat of prologue.sh makes.
const statFields = 12

// parseStat reads what stat prints of an entry: mode (hexadecimal), size, user, group,
// device, inode, and the times of the last change of content and of status.
func parseStat(path, line string) (Entry, error) {
	e, err := parseFields(path, line)
	if err != nil {
		return Entry{}, invalidAnswer(err.Error())
	}
	return e, nil
}

func parseFields(path, line string) (Entry, error) {
	words := strings.Fields(line)
	if len(words) != statFields {
		return Entry{}, fmt.Errorf("stat of %q: %d words", path, len(words))
	}
	mode, err := strconv.ParseUint(words[0], 16, 32)
	if err != nil {
		return Entry{}, fmt.Errorf("stat of %q: mode: %w", path, err)
	}
	numbers := make([]int64, 5)
	for i := range numbers {
		if numbers[i], err = strconv.ParseInt(words[1+i], 10, 64); err != nil || numbers[i] < 0 {
			// An inode may be larger than a signed number; it is only compared.
			if i == 4 {
				continue
			}
			return Entry{}, fmt.Errorf("stat of %q: word %d is no number", path, 1+i)
		}
	}
	modified, err := parseTime(words[6:9])
	if err != nil {
		return Entry{}, fmt.Errorf("stat of %q: %w", path, err)
	}
	e := Entry{Path: path, Type: typeOf(mode), Mode: uint32(mode) & modeBits, ModTime: modified, UID: int(numbers[1]), GID: int(numbers[2])}
	if e.Type == File {
		e.Size = numbers[0]
		e.ETag = etag(words)
	}
	return e, nil
}

func typeOf(mode uint64) Type {
	switch mode & modeType {
	case modeFile:
		return File
	case modeDir:
		return Dir
	case modeLink:
		return Link
	}
	return Other
}

// parseTime reads stat's %y in UTC: a date, a time, with a fraction or without, a zone.
func parseTime(words []string) (time.Time, error) {
	t, err := time.Parse("2006-01-02 15:04:05.999999999 -0700", strings.Join(words, " "))
	if err != nil {
		return time.Time{}, fmt.Errorf("time: %w", err)
	}
	return t.UTC(), nil
}

// etag is made of device, inode, size and both times: an in-place write changes the
// times, a replaced file the inode.
func etag(words []string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i, part := range []string{words[4], words[5], words[1], words[6] + words[7], words[9] + words[10]} {
		if i > 0 {
			b.WriteByte('-')
		}
		for _, c := range []byte(part) {
			if c >= '0' && c <= '9' || c >= 'a' && c <= 'f' {
				b.WriteByte(c)
			}
		}
	}
	b.WriteByte('"')
	return b.String()
}
