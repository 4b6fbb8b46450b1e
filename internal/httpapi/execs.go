package httpapi

import (
	"net/http"

	"sallyport/client/sallyport"
)

func (c *call) listExecs() error {
	page, err := c.page()
	if err != nil {
		return err
	}
	detached := c.r.URL.Query()["detached"]
	if len(detached) > 1 || len(detached) == 1 && detached[0] != "true" && detached[0] != "false" {
		return sallyport.Errorf(sallyport.CodeInvalidDetach, "detached must be true or false")
	}
	isDetached := len(detached) == 1 && detached[0] == "true"
	execs, err := c.api.Gateway.ListExecs(c.r.Context(), c.by, c.ref(), c.r.URL.Query().Get("status"), isDetached, page)
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
