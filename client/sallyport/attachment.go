package sallyport

import "time"

// Attachment is a file that a person handed to an agent, or an agent to a person.
type Attachment struct {
	ID string `json:"id"`
	// Name is the file's own, made safe: without a directory, of at most 100 bytes.
	Name string `json:"name"`
	// Size is in bytes.
	Size int64 `json:"size"`
	// MediaType is what the content looks like, whatever its sender said.
	MediaType string `json:"media_type"`
	// SHA256 is that of the content, in hexadecimal.
	SHA256 string `json:"sha256"`
	// Path is where the file is on the machine, relative to the workspace's root.
	Path      string    `json:"path"`
	CreatedAt time.Time `json:"created_at"`
	// ExpiresAt is when the attachment is gone.
	ExpiresAt time.Time `json:"expires_at"`
}

// Attached is the answer to a request that makes attachments.
type Attached struct {
	Items []Attachment `json:"items"`
}

// AttachmentCopy is the JSON body that makes an attachment of a file of the workspace, as
// it is now.
type AttachmentCopy struct {
	// Path is relative to the workspace's root; PathBase64 where its bytes are not UTF-8.
	Path       *string `json:"path,omitempty"`
	PathBase64 *string `json:"path_base64,omitempty"`
	// ExpiresInS is the attachment's life in seconds, 60 to 2,592,000; 0 is a week.
	ExpiresInS int64 `json:"expires_in_s,omitempty"`
}
