package gateway

import (
	"sallyport/client/sallyport"
	"sallyport/internal/recording"
)

// beginRecording begins the recording of a terminal that is to be recorded. Its error is
// platform_unavailable: then the program doesn't start.
func (r *terminalRun) beginRecording() (err error) {
	if r.recorded == nil || r.recorder != nil {
		return nil
	}
	var row sallyport.Activity
	r.recorded.Describe(&row)
	r.recorder, err = r.g.Recordings.Begin(recording.Header{
		ID: r.act.row.ID(), OrgID: r.act.ws.OrgID, WorkspaceID: r.act.ws.ID, Actor: r.act.by.Actor(), CreatedAt: r.g.Now(),
		Cols: r.spec.Cols, Rows: r.spec.Rows, Term: termOf(r.spec.Env), Title: row.Summary,
	})
	return err
}

// record records what the terminal prints, before anybody is shown it. An error ends the
// terminal.
func (r *terminalRun) record(p []byte) error {
	if r.recorder == nil {
		return nil
	}
	return r.recorder.Output(p)
}

// recordingFailed is closed when nothing can be recorded any more.
func (r *terminalRun) recordingFailed() <-chan struct{} {
	if r.recorder == nil {
		return nil
	}
	return r.recorder.Failed()
}

// closeRecording ends the recording, if there is one, with the status of the terminal's row.
func (r *terminalRun) closeRecording(status string) {
	if r.recorder == nil {
		return
	}
	if err := r.recorder.Close(status); err != nil && sallyport.CodeOf(err) != sallyport.CodeRecordingFull {
		r.g.Log.Warn("the end of a terminal's recording could not be kept", "terminal", r.act.row.ID(), "error", err)
	}
}
