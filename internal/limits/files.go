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
	// FileOutputGrace is limits.OutputGrace of a script: it leaves nothing behind that would
	// keep its output open, so that whoever waits longer only waits for a slow machine.
	FileOutputGrace = 5 * time.Second
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

// Attachments.
const (
	// AttachmentBytes bounds one, and AttachmentsBytes the live ones of an organisation
	// together. The admin sets others for an organisation.
	AttachmentBytes  = 25 << 20
	AttachmentsBytes = 1 << 30
	// AttachmentsMax is how many live ones an organisation has, since an empty one takes no
	// bytes: few enough to be counted for each new one.
	AttachmentsMax = 100_000
	// AttachmentFilesMax is how many come in one request.
	AttachmentFilesMax = 20
	// AttachmentNameBytesMax bounds a name, so that it fits every file system.
	AttachmentNameBytesMax = 100
	// AttachmentLifeMin, AttachmentLifeMax and AttachmentLifeDefault are of the time until
	// one expires.
	AttachmentLifeMin     = time.Minute
	AttachmentLifeMax     = 30 * 24 * time.Hour
	AttachmentLifeDefault = 7 * 24 * time.Hour
	// AttachmentPieceBytes is how much of a content room is reserved for at a time where its
	// size isn't known.
	AttachmentPieceBytes = 1 << 20
	// AttachmentReserveTime is how long room stays reserved for a content on its way, and
	// AttachmentReserveEvery how often that begins anew while it comes: what a crash left
	// takes room for as long.
	AttachmentReserveTime  = time.Hour
	AttachmentReserveEvery = 10 * time.Minute
	// AttachmentSweepEvery is how often a server looks for what has expired,
	// AttachmentSweepMax at a time, and on AttachmentSweepAtOnce machines together. One that
	// can't be reached is tried again after AttachmentRetryTime, so that its files go within
	// an hour in which it can.
	AttachmentSweepEvery  = 30 * time.Second
	AttachmentSweepMax    = 100
	AttachmentSweepAtOnce = 8
	AttachmentRetryTime   = 10 * time.Minute
	// AttachmentRefusedRetryMin and AttachmentRefusedRetryMax bound when one is tried again
	// whose machine refuses to remove it, each time after as long again as it has been
	// expired. After AttachmentRefusedTime its record is given up.
	AttachmentRefusedRetryMin = time.Hour
	AttachmentRefusedRetryMax = 24 * time.Hour
	AttachmentRefusedTime     = 30 * 24 * time.Hour
	// AttachmentFormBytesMax bounds what stands before the first file of a form, and between
	// two.
	AttachmentFormBytesMax = 64 << 10
)
