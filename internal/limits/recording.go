package limits

import "time"

// Recordings of terminals.
const (
	// RecordingBytesMax bounds one recording, as it is downloaded: the terminal is ended
	// before it is longer.
	RecordingBytesMax = 256 << 20
	// RecordingBytesMin is the least that can be chosen for that bound.
	RecordingBytesMin = 64 << 10
	// RecordingRetention is how long one is kept, and RecordingRetentionMin the least that
	// can be chosen: longer than any terminal lives.
	RecordingRetention    = 30 * 24 * time.Hour
	RecordingRetentionMin = 24 * time.Hour
	RecordingRetentionMax = 10 * 365 * 24 * time.Hour
	// RecordingFlushTime is how long what was printed waits for more before it is written.
	RecordingFlushTime = 500 * time.Millisecond
	// RecordingSyncTime is how long what was written may wait to be put on disk, with all that
	// is written meanwhile.
	RecordingSyncTime = time.Second
	// RecordingFrameBytes is how much is sealed and written at once.
	RecordingFrameBytes = 32 << 10
	// RecordingSweepEvery is how often expired ones are looked for.
	RecordingSweepEvery = time.Hour
)
