package httpapi

import (
	"net/http"

	"sallyport"
)

func (c *call) listExecs() error {
	page, err := c.page()
	if err != nil {
		return err
	}
	execs, err := c.api.Gateway.ListExecs(c.r.Context(), c.by, c.ref(), c.r.URL.Query().Get("status"), page)
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, execs)
	return nil
}

func (c *call) getExec() error {
	row, err := c.api.Gateway.ExecRow(c.r.Context(), c.by, c.ref(), c.r.PathValue("exec"))
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, row)
	return nil
}

func (c *call) signalExec() error {
	o, err := c.object("signal")
	if err != nil {
		return err
	}
	signal, err := o.str("signal", sallyport.CodeInvalidSignal)
	if err != nil {
		return err
	}
	if err := c.api.Gateway.SignalExec(c.r.Context(), c.by, c.ref(), c.r.PathValue("exec"), signal); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
