package httpapi

import (
	"net/http"

	"sallyport/client/sallyport"
	"sallyport/internal/administration"
)

type workspaceBody struct {
	OrgID           string                  `json:"org_id"`
	Name            string                  `json:"name"`
	Tier            optional[integer]       `json:"tier"`
	Labels          optional[labelSet]      `json:"labels"`
	Connector       optional[connectorBody] `json:"connector" want:"connector must be an object, for example {\"type\":\"local\"}"`
	ForwardAllow    optional[targetList]    `json:"forward_allow"`
	RecordTerminals optional[bool]          `json:"record_terminals" want:"record_terminals must be true or false"`
}

// workspacePatch is a JSON merge patch (RFC 7396).
type workspacePatch struct {
	Name            optional[string]        `json:"name"`
	Tier            optional[integer]       `json:"tier"`
	Labels          optional[labelSet]      `json:"labels"`
	Connector       optional[connectorBody] `json:"connector" want:"connector must be an object, for example {\"type\":\"local\"}"`
	ForwardAllow    optional[targetList]    `json:"forward_allow"`
	RecordTerminals optional[bool]          `json:"record_terminals" want:"record_terminals must be true or false"`
}

func (c *call) createWorkspace() error {
	body, err := decode[workspaceBody](c)
	if err != nil {
		return err
	}
	req := sallyport.WorkspaceCreate{OrgID: body.OrgID, Name: body.Name, Tier: wireTier(body.Tier), Labels: map[string]string{}}
	for key, value := range body.Labels.value {
		if value != nil {
			req.Labels[key] = *value
		}
	}
	if body.Connector.is() {
		if req.Connector, err = body.Connector.value.connector(); err != nil {
			return err
		}
	}
	req.ForwardAllow, req.RecordTerminals = body.ForwardAllow.value, body.RecordTerminals.value
	ws, err := c.api.Administration.CreateWorkspace(c.r.Context(), c.by, req)
	if err != nil {
		return err
	}
	c.answer(http.StatusCreated, ws)
	return nil
}

func (c *call) listWorkspaces() error {
	page, err := c.page()
	if err != nil {
		return err
	}
	list, err := c.api.Administration.ListWorkspaces(c.r.Context(), c.by, c.r.URL.Query().Get("org"), page)
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, list)
	return nil
}

func (c *call) getWorkspace() error {
	ws, err := c.api.Administration.Workspace(c.r.Context(), c.by, c.ref())
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, ws)
	return nil
}

func (c *call) updateWorkspace() error {
	body, err := decode[workspacePatch](c)
	if err != nil {
		return err
	}
	change, err := body.change()
	if err != nil {
		return err
	}
	ws, err := c.api.Administration.UpdateWorkspace(c.r.Context(), c.by, c.ref(), change)
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, ws)
	return nil
}

func (c *call) deleteWorkspace() error {
	if err := c.api.Administration.DeleteWorkspace(c.r.Context(), c.by, c.ref()); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (c *call) workspaceConnection() error {
	connection, err := c.api.Gateway.Connection(c.r.Context(), c.by, c.ref())
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, connection)
	return nil
}

// diagnoseWorkspace is POST /workspaces/{workspace}/diagnose. It takes no body.
func (c *call) diagnoseWorkspace() error {
	done, err := c.api.Gateway.Admit()
	if err != nil {
		return err
	}
	defer done()
	found, err := c.api.Gateway.Diagnose(c.r.Context(), c.by, c.ref())
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, found)
	return nil
}

// change is what a merge patch asks for. Labels and a connector can be taken away, a name
// and a tier can't.
func (b *workspacePatch) change() (change administration.WorkspaceChange, err error) {
	if b.Tier.null {
		return change, sallyport.Errorf(sallyport.CodeInvalidTier, "tier can't be taken away: it is 1 to 4")
	}
	if b.Name.given {
		change.Name = &b.Name.value // null is "", which is no name
	}
	if b.Tier.given {
		tier := wireTier(b.Tier)
		change.Tier = &tier
	}
	change.Labels, change.ClearLabels = b.Labels.value, b.Labels.null
	if b.ForwardAllow.given {
		change.ForwardAllow = (*[]string)(&b.ForwardAllow.value) // null is nil
	}
	if b.RecordTerminals.given {
		change.RecordTerminals = &b.RecordTerminals.value // null is false
	}
	if b.Connector.given {
		change.Connector = func(now *sallyport.Connector) (*sallyport.Connector, error) { return mergeConnector(now, b.Connector) }
	}
	return change, nil
}

// wireTier is a tier, 0 for none; one that is given is never 0.
func wireTier(given optional[integer]) int {
	tier := int(min(max(given.value, -1), 99))
	if given.is() && tier == 0 {
		return -1
	}
	return tier
}
