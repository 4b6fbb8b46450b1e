package httpapi

import "net/http"

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
	wait, err := c.waitTime()
	if err != nil {
		return err
	}
	row, err := c.api.Gateway.AwaitExec(c.r.Context(), c.by, c.ref(), c.r.PathValue("exec"), wait)
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, row)
	return nil
}

type signalBody struct {
	Signal string `json:"signal"`
}

func (c *call) signalExec() error {
	body, err := decode[signalBody](c)
	if err != nil {
		return err
	}
	if err := c.api.Gateway.SignalExec(c.r.Context(), c.by, c.ref(), c.r.PathValue("exec"), body.Signal); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
