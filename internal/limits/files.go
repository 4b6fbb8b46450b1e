package limits

import "time"

// Files.
const (
	// FileAnswerTime is how long a machine may do nothing in an operation without content,
	// and FileStallTime in one with content, or a step of one that recurses.
	FileAnswerTime = 30 * time.Second
	FileStallTime  = time.Minute
	// FileCallerTime is how long a caller may send or take nothing of a content.
	FileCallerTime = time.Minute
	// FileEndTime is how long a script may take to end by itself when its caller has gone.
	FileEndTime = time.Second
	// FileTime is the time-out of a script as a whole: a transfer has none of its own, so
	// it is longer than any.
	FileTime = 30 * 24 * time.Hour
	// PathBytesMax and NameBytesMax are Linux's PATH_MAX and NAME_MAX.
	PathBytesMax = 4096
	NameBytesMax = 255
	// FileDepthMax is how deep one listing goes.
	FileDepthMax = 64
	// FileLookTime is how long a listing looks before its page ends, as it is.
	FileLookTime = 20 * time.Second
	// SearchTextMax bounds the text of a search, in bytes.
	SearchTextMax = 1024
	// ReplaceTextMax and ReplaceFileMax bound the text of a replace, and its file, in bytes.
	ReplaceTextMax = 1 << 20
	ReplaceFileMax = 16 << 20
	// UploadIDMax bounds an Upload-Id, and UploadKeepTime is how long what came of an upload
	// is kept.
	UploadIDMax    = 64
	UploadKeepTime = 24 * time.Hour
	// RunningFiles is how many file operations of one organisation run at once, and
	// RunningFilesPerWorkspace how many on one of its machines.
	RunningFiles             = 256
	RunningFilesPerWorkspace = 32
)
