package sallyport

import (
	"encoding/base64"
	"fmt"
	"time"
	"unicode/utf8"
)

// Operations on files, as a row's op names them.
const (
	FileOpList             = "list"
	FileOpStat             = "stat"
	FileOpRead             = "read"
	FileOpArchive          = "archive"
	FileOpWrite            = "write"
	FileOpMkdir            = "mkdir"
	FileOpExtract          = "extract"
	FileOpChange           = "change"
	FileOpDelete           = "delete"
	FileOpMove             = "move"
	FileOpCopy             = "copy"
	FileOpReplace          = "replace"
	FileOpUploadOffset     = "upload_offset"
	FileOpAttach           = "attach"
	FileOpAttachmentRead   = "attachment_read"
	FileOpAttachmentDelete = "attachment_delete"
	FileOpAttachmentExpire = "attachment_expire"
)

// Actions of POST …/files/{path}.
const (
	FileActionMove    = "move"
	FileActionCopy    = "copy"
	FileActionReplace = "replace"
)

// FileAction is the body of POST …/files/{path}. To goes with move and copy, Old, New and
// Expect with replace.
type FileAction struct {
	Action string `json:"action"`
	// To is the whole new path; ToBase64 where its bytes are not UTF-8.
	To       *string `json:"to,omitempty"`
	ToBase64 *string `json:"to_base64,omitempty"`
	// Overwrite lets the new path be that of a file or a link.
	Overwrite bool `json:"overwrite,omitempty"`
	// Recursive copies directories.
	Recursive bool `json:"recursive,omitempty"`
	// Each Old becomes New; Expect, where it isn't nil, is how many there must be.
	Old    string `json:"old,omitempty"`
	New    string `json:"new,omitempty"`
	Expect *int   `json:"expect,omitempty"`
}

// FileReplaced is the answer to a replace.
type FileReplaced struct {
	FileEntry
	Replaced int `json:"replaced"`
}

// FilePatch is the body of PATCH …/files/{path}; nil leaves what it is about.
type FilePatch struct {
	// Mode is 1 to 4 octal digits.
	Mode  *string    `json:"mode,omitempty"`
	Mtime *time.Time `json:"mtime,omitempty"`
	UID   *int       `json:"uid,omitempty"`
	GID   *int       `json:"gid,omitempty"`
}

// FilesExtracted is what became of an archive.
type FilesExtracted struct {
	Entries int64 `json:"entries"`
	// Bytes are of the files' content.
	Bytes   int64 `json:"bytes"`
	Skipped int64 `json:"skipped"`
	// SkippedEntries are the first 100.
	SkippedEntries []FileSkipped `json:"skipped_entries"`
}

// Reasons for which an entry of an archive is left out.
const (
	// FileSkipType is of devices and the like, and of hard links to what isn't in the archive.
	FileSkipType = "type"
	// FileSkipLinkOut is of links that lead out of the root.
	FileSkipLinkOut = "link_out"
)

// FileSkipped is an entry of an archive that was left out.
type FileSkipped struct {
	Path       *string `json:"path,omitempty"`
	PathBase64 *string `json:"path_base64,omitempty"`
	// Reason is FileSkipType or FileSkipLinkOut.
	Reason string `json:"reason"`
}

// RawPath returns the bytes of the path.
func (s FileSkipped) RawPath() (string, error) { return rawText("path", s.Path, s.PathBase64) }

// Types of files.
const (
	FileTypeFile  = "file"
	FileTypeDir   = "dir"
	FileTypeLink  = "link"
	FileTypeOther = "other"
)

// FileEntry is one entry of a workspace's files. A path, name or target stands in the
// field of that name where its bytes are UTF-8, else, in base64, in the one with _base64
// behind it: never both. RawPath and the like return the bytes.
type FileEntry struct {
	// Path is relative to the workspace's root, and empty for the root itself.
	Path       *string `json:"path,omitempty"`
	PathBase64 *string `json:"path_base64,omitempty"`
	Name       *string `json:"name,omitempty"`
	NameBase64 *string `json:"name_base64,omitempty"`
	// Type is one of FileTypeFile and the others.
	Type string `json:"type"`
	// Size is in bytes, of files alone.
	Size *int64 `json:"size,omitempty"`
	// Mode is four octal digits.
	Mode string `json:"mode"`
	// Mtime has the fraction of a second that the machine tells.
	Mtime time.Time `json:"mtime"`
	UID   int       `json:"uid"`
	GID   int       `json:"gid"`
	// Target is that of a link.
	Target       *string `json:"target,omitempty"`
	TargetBase64 *string `json:"target_base64,omitempty"`
	// ETag is the strong entity tag of a file, with its quotes.
	ETag string `json:"etag,omitempty"`
	// Unreadable is set for a directory that could not be listed.
	Unreadable bool `json:"unreadable,omitempty"`
	// Matches are the lines that hold what was searched for.
	Matches []FileMatch `json:"matches,omitempty"`
}

// FileMatch is a line of a file that holds what was searched for.
type FileMatch struct {
	// Line counts from 1.
	Line int64 `json:"line"`
	// Text is the line, cut at 512 bytes; TextBase64 where it isn't UTF-8.
	Text       *string `json:"text,omitempty"`
	TextBase64 *string `json:"text_base64,omitempty"`
}

// RawText returns the bytes of the line.
func (m FileMatch) RawText() (string, error) { return rawText("text", m.Text, m.TextBase64) }

// RawPath returns the bytes of the path.
func (e FileEntry) RawPath() (string, error) { return rawText("path", e.Path, e.PathBase64) }

// RawName returns the bytes of the name.
func (e FileEntry) RawName() (string, error) { return rawText("name", e.Name, e.NameBase64) }

// RawTarget returns the bytes of a link's target.
func (e FileEntry) RawTarget() (string, error) { return rawText("target", e.Target, e.TargetBase64) }

// FileText returns bytes as the pair of fields that they stand in: the first where they
// are UTF-8, else the second.
func FileText(raw string) (text, inBase64 *string) {
	if utf8.ValidString(raw) {
		return &raw, nil
	}
	coded := base64.StdEncoding.EncodeToString([]byte(raw))
	return nil, &coded
}

func rawText(field string, text, coded *string) (string, error) {
	switch {
	case text != nil:
		return *text, nil
	case coded != nil:
		raw, err := base64.StdEncoding.DecodeString(*coded)
		if err != nil {
			return "", fmt.Errorf("%s_base64: %w", field, err)
		}
		return string(raw), nil
	}
	return "", nil
}
