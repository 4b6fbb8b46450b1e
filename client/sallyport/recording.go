package sallyport

import "time"

// MediaAsciicast is the media type of a recording: asciicast, version 2.
const MediaAsciicast = "application/x-asciicast"

// Recording describes the recording of a terminal: of what it showed, and never of what was
// typed.
type Recording struct {
	// ID is that of the terminal, and of its activity row.
	ID          string    `json:"id"`
	WorkspaceID string    `json:"workspace_id"`
	Actor       string    `json:"actor"`
	CreatedAt   time.Time `json:"created_at"`
	// DurationMS and Bytes are what there is so far, of the asciicast as it is downloaded.
	DurationMS int64 `json:"duration_ms"`
	Bytes      int64 `json:"bytes"`
	// Cols and Rows are the size at the start, in characters.
	Cols int `json:"cols"`
	Rows int `json:"rows"`
	// Status is that of the terminal's row. Interrupted is a recording that a crash has cut.
	Status string `json:"status"`
}
