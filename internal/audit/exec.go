package audit

import (
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/redact"
	"sallyport/internal/store"
)

// Exec is what the row of an exec says before the command runs.
type Exec struct {
	// Argv is as it will run: the log masks what it keeps.
	Argv       []string
	Cwd        string
	EnvNames   []string
	StdinBytes int64
	TimeoutS   int
	// Detached tells that it outlives its call; KeepS is for these alone.
	Detached bool
	KeepS    int
}

// Describe implements Detail.
func (e Exec) Describe(row *sallyport.Activity) {
	argv := redact.Argv(e.Argv)
	row.Type, row.Summary = sallyport.ActivityExec, redact.Summary(argv)
	row.Argv, row.Cwd, row.EnvNames = argv, redact.Text(e.Cwd), e.EnvNames
	row.StdinBytes, row.TimeoutS = &e.StdinBytes, e.TimeoutS
	row.Detached, row.KeepS = e.Detached, e.KeepS
}

// ExecOutcome is how an exec's command ended.
type ExecOutcome struct {
	// Ran tells that the command had started: without it the row has its survivors alone.
	Ran bool
	// StdinBytes is what was passed on of a stdin that was streamed; nil is one that wasn't.
	StdinBytes                       *int64
	ExitCode                         *int
	Signal                           string
	Duration                         time.Duration
	StdoutBytes, StderrBytes         int64
	StdoutTruncated, StderrTruncated bool
	// Survivors is nil where the command exited, or nobody could look.
	Survivors        *int
	SurvivorsUnknown bool
}

// Complete implements Outcome.
func (e ExecOutcome) Complete(row *store.Activity) {
	row.Survivors, row.SurvivorsUnknown = e.Survivors, e.SurvivorsUnknown
	if e.StdinBytes != nil {
		row.StdinBytes, row.StreamedStdin = e.StdinBytes, e.StdinBytes
	}
	if !e.Ran {
		return
	}
	ms := e.Duration.Milliseconds()
	row.ExitCode, row.Signal, row.DurationMS = e.ExitCode, e.Signal, &ms
	row.StdoutBytes, row.StderrBytes = &e.StdoutBytes, &e.StderrBytes
	row.StdoutTruncated, row.StderrTruncated = &e.StdoutTruncated, &e.StderrTruncated
}

// DetachedOutcome is how a detached exec ended, as far as its machine could tell: nil is what
// it could not.
type DetachedOutcome struct {
	ExitCode                         *int
	Signal                           string
	DurationMS                       *int64
	StdoutBytes, StderrBytes         *int64
	StdoutTruncated, StderrTruncated *bool
	OutputOpen                       bool
	Usage                            *sallyport.Usage
	// Survivors is nil where the command exited, or nobody could look.
	Survivors        *int
	SurvivorsUnknown bool
}

// Complete implements Outcome.
func (d DetachedOutcome) Complete(row *store.Activity) {
	row.Survivors, row.SurvivorsUnknown = d.Survivors, d.SurvivorsUnknown
	row.ExitCode, row.Signal, row.DurationMS = d.ExitCode, d.Signal, d.DurationMS
	row.StdoutBytes, row.StderrBytes = d.StdoutBytes, d.StderrBytes
	row.StdoutTruncated, row.StderrTruncated = d.StdoutTruncated, d.StderrTruncated
	row.OutputOpen, row.Usage = d.OutputOpen, d.Usage
}
