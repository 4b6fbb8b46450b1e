package audit

import (
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/redact"
	"sallyport/internal/store"
)

// Terminal is what the row of a terminal says before its program starts.
type Terminal struct {
	// Argv is as it will run: the log masks what it keeps. None is the user's login shell.
	Argv     []string
	Cwd      string
	EnvNames []string
	TimeoutS int
	Recorded bool
}

// Describe implements Detail.
func (t Terminal) Describe(row *sallyport.Activity) {
	row.Type, row.Summary = sallyport.ActivityTerminal, "login shell"
	if len(t.Argv) > 0 {
		row.Argv = redact.Argv(t.Argv)
		row.Summary = redact.Summary(row.Argv)
	}
	row.Cwd, row.EnvNames, row.TimeoutS, row.Recorded = redact.Text(t.Cwd), t.EnvNames, t.TimeoutS, &t.Recorded
}

// TerminalOutcome is how a terminal ended.
type TerminalOutcome struct {
	// Ran tells that the program had started: without it the row has its survivors alone.
	Ran      bool
	ExitCode *int
	Signal   string
	Duration time.Duration
	// InputBytes were typed, and OutputBytes printed.
	InputBytes, OutputBytes int64
	// Resumes is how often its client came again.
	Resumes int
	// Survivors is nil where the program exited, or nobody could look.
	Survivors        *int
	SurvivorsUnknown bool
}

// Complete implements Outcome.
func (t TerminalOutcome) Complete(row *store.Activity) {
	row.Survivors, row.SurvivorsUnknown = t.Survivors, t.SurvivorsUnknown
	if !t.Ran {
		return
	}
	ms := t.Duration.Milliseconds()
	row.ExitCode, row.Signal, row.DurationMS = t.ExitCode, t.Signal, &ms
	row.InputBytes, row.OutputBytes, row.Resumes = &t.InputBytes, &t.OutputBytes, &t.Resumes
}
