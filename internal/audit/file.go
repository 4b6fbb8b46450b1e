package audit

import (
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/redact"
	"sallyport/internal/store"
)

// File is what the row of a file operation says before the machine is touched.
type File struct {
	// Op is one of sallyport's file operations.
	Op string
	// Path and To are bytes, as they were asked for: the log masks what it keeps.
	Path, To string
	// Offset is that of a range or of a resumed upload; nil is none.
	Offset *int64
}

// Describe implements Detail.
func (f File) Describe(row *sallyport.Activity) {
	row.Type, row.Op, row.Offset = sallyport.ActivityFile, f.Op, f.Offset
	row.Path, row.PathBase64 = pathFields(f.Path)
	row.To, row.ToBase64 = pathFields(f.To)
	row.Summary = summary(f.Op + " " + f.Path)
	if f.To != "" {
		row.Summary = summary(f.Op + " " + f.Path + " -> " + f.To)
	}
}

// pathFields is a path as a row has it.
func pathFields(path string) (text, inBase64 string) {
	plain, coded := sallyport.FileText(path)
	if coded != nil {
		return "", *coded
	}
	return redact.Text(*plain), ""
}

// FileOutcome is how a file operation ended.
type FileOutcome struct {
	// Bytes, Entries and SHA256: see sallyport.FileEnded. Nil and empty are left out.
	Bytes, Entries *int64
	SHA256         string
	Duration       time.Duration
}

// Complete implements Outcome.
func (f FileOutcome) Complete(row *store.Activity) {
	ms := f.Duration.Milliseconds()
	row.DurationMS = &ms
	row.Bytes, row.Entries, row.SHA256 = f.Bytes, f.Entries, f.SHA256
}
