package httpapi

import (
	"net/http"

	"sallyport"
)

// session is GET /session: who the caller is.
func (c *call) session() error {
	c.answer(http.StatusOK, sallyport.Session{
		Actor: c.by.Actor(), OrgID: c.by.OrgID, WorkspaceID: c.by.WorkspaceID, Scopes: c.by.Scopes,
	})
	return nil
}

// healthz is GET /healthz: the process is alive.
func (c *call) healthz() error {
	c.answer(http.StatusOK, map[string]string{"status": "ok"})
	return nil
}

// readyz is GET /readyz: the server can serve.
func (c *call) readyz() error {
	if err := c.api.Ready(c.r); err != nil {
		return err
	}
	status := "ready"
	if c.api.Degraded != nil && c.api.Degraded() {
		status = "degraded"
	}
	c.answer(http.StatusOK, map[string]string{"status": status})
	return nil
}
