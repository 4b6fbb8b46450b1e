package httpapi

import (
	"io"
	"net/http"

	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
)

// recordingsOf says whose recordings the path names.
func (c *call) recordingsOf() gateway.RecordingsOf {
	if org := c.r.PathValue("org"); org != "" {
		return gateway.RecordingsOf{Org: org}
	}
	ref := c.ref()
	return gateway.RecordingsOf{Workspace: &ref}
}

func (c *call) listRecordings() error {
	page, err := c.page()
	if err != nil {
		return err
	}
	list, err := c.api.Gateway.ListRecordings(c.r.Context(), c.by, c.recordingsOf(), page)
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, list)
	return nil
}

// getRecording answers a recording's asciicast. One that can't be read to its end is cut, which
// its reader sees.
func (c *call) getRecording() error {
	recording, err := c.api.Gateway.OpenRecording(c.r.Context(), c.by, c.recordingsOf(), c.r.PathValue("terminal"))
	if err != nil {
		return err
	}
	defer recording.Close()
	c.w.Header().Set("Content-Type", sallyport.MediaAsciicast)
	out := &contentWriter{c: c, status: http.StatusOK}
	defer out.within(c.r.Context())()
	if _, err := io.Copy(out, recording); err != nil {
		out.begin()
		c.cut(err) // a whole answer is a true one
	}
	return out.finish()
}

func (c *call) deleteRecording() error {
	err := c.api.Gateway.DeleteRecording(c.r.Context(), c.by, c.recordingsOf(), c.r.PathValue("terminal"))
	if err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
