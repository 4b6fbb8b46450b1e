package httpapi

import (
	"net/http"

	"sallyport"
	"sallyport/internal/gateway"
)

func (c *call) createWorkspace() error {
	o, err := c.object("org_id", "name", "tier", "labels", "connector")
	if err != nil {
		return err
	}
	var req sallyport.WorkspaceCreate
	if req.OrgID, err = o.str("org_id", sallyport.CodeInvalidOrgID); err != nil {
		return err
	}
	if req.Name, err = o.str("name", sallyport.CodeInvalidName); err != nil {
		return err
	}
	tier, err := readTier(o)
	if err != nil {
		return err
	}
	if tier != nil {
		req.Tier = *tier
	}
	if req.Labels, err = readNewLabels(o); err != nil {
		return err
	}
	if v, ok := o.get("connector"); ok {
		if req.Connector, err = readConnector(v); err != nil {
			return err
		}
	}
	ws, err := c.api.Gateway.CreateWorkspace(c.r.Context(), c.by, req)
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
	list, err := c.api.Gateway.ListWorkspaces(c.r.Context(), c.by, c.r.URL.Query().Get("org"), page)
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, list)
	return nil
}

func (c *call) getWorkspace() error {
	ws, err := c.api.Gateway.Workspace(c.r.Context(), c.by, c.ref())
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, ws)
	return nil
}

// updateWorkspace takes a JSON merge patch (RFC 7396).
func (c *call) updateWorkspace() error {
	o, err := c.object("name", "tier", "labels", "connector")
	if err != nil {
		return err
	}
	change, err := readChange(o)
	if err != nil {
		return err
	}
	ws, err := c.api.Gateway.UpdateWorkspace(c.r.Context(), c.by, c.ref(), change)
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, ws)
	return nil
}

func (c *call) deleteWorkspace() error {
	if err := c.api.Gateway.DeleteWorkspace(c.r.Context(), c.by, c.ref()); err != nil {
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

// readChange reads a merge patch, in which null takes away: labels and connector
// can be, a name and a tier can't.
func readChange(o object) (change gateway.WorkspaceChange, err error) {
	if _, ok := o["name"]; ok {
		name, err := o.str("name", sallyport.CodeInvalidName)
		if err != nil {
			return change, err
		}
		change.Name = &name
	}
	if _, ok := o["tier"]; ok {
		if change.Tier, err = readTier(o); err != nil {
			return change, err
		}
		if change.Tier == nil {
			return change, sallyport.Errorf(sallyport.CodeInvalidTier, "tier can't be taken away: it is 1 to 4")
		}
	}
	if v, ok := o["labels"]; ok {
		change.ClearLabels = v.Kind() == 'n'
		if change.Labels, err = readLabels(o); err != nil {
			return change, err
		}
	}
	if v, ok := o["connector"]; ok {
		change.Connector = func(now *sallyport.Connector) (*sallyport.Connector, error) { return mergeConnector(now, v) }
	}
	return change, err
}

// readTier reads a tier; one that is given is never 0, which stands for none.
func readTier(o object) (*int, error) {
	n, err := o.integer("tier", sallyport.CodeInvalidTier)
	if n == nil || err != nil {
		return nil, err
	}
	tier := int(min(max(*n, -1), 99))
	if tier == 0 {
		tier = -1
	}
	return &tier, nil
}

func readNewLabels(o object) (map[string]string, error) {
	given, err := readLabels(o)
	labels := map[string]string{}
	for key, value := range given {
		if value != nil {
			labels[key] = *value
		}
	}
	return labels, err
}

// readLabels reads an object of strings; null stands for a label to take away.
func readLabels(o object) (map[string]*string, error) {
	v, ok := o.get("labels")
	if !ok {
		return nil, nil
	}
	const want = `labels must be an object of strings, for example {"team":"build"}`
	if v.Kind() != '{' {
		return nil, sallyport.Errorf(sallyport.CodeInvalidLabels, want)
	}
	members, err := parseObject(v)
	if err != nil {
		return nil, err
	}
	labels := map[string]*string{}
	for key, v := range members {
		if v.Kind() == 'n' {
			labels[key] = nil
			continue
		}
		s, ok := asString(v)
		if !ok {
			return nil, sallyport.Errorf(sallyport.CodeInvalidLabels, want)
		}
		labels[key] = &s
	}
	return labels, nil
}
