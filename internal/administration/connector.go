package administration

import (
	"maps"
	"slices"
	"strings"

	"sallyport/client/sallyport"
	"sallyport/internal/field"
	"sallyport/internal/store"
)

// checker is a connector with more to say of itself than its type.
type checker interface {
	// Check returns the connector as it is to be stored, but for its private key,
	// or what is wrong with it, in a sentence for whoever set it. hasKey tells
	// that a private key is stored already.
	Check(spec sallyport.Connector, hasKey bool) (sallyport.Connector, error)
}

// changeConnector makes ws's connector anew. A key that was pinned on one machine
// means nothing on another.
func (a *Administration) changeConnector(ws *store.Workspace, change func(*sallyport.Connector) (*sallyport.Connector, error)) error {
	before := ws.Connector
	spec, err := change(before)
	if err != nil {
		return err
	}
	if before != nil && spec != nil && spec.TrustOnFirstUse && before.TrustOnFirstUse && spec.HostKey == before.HostKey &&
		(spec.Host != before.Host || spec.Port != before.Port || spec.InstanceID != before.InstanceID) {
		again := *spec
		again.HostKey = ""
		spec = &again
	}
	return a.setConnector(ws, spec)
}

// machineOf is the part of a connector that says which machine it leads to, and as whom.
func machineOf(c *sallyport.Connector) sallyport.Connector {
	if c == nil {
		return sallyport.Connector{}
	}
	return sallyport.Connector{
		Type: c.Type, Host: c.Host, Port: c.Port, User: c.User, InstanceID: c.InstanceID, Region: c.Region, EndpointID: c.EndpointID,
	}
}

// setConnector checks a connector and puts it into ws, its private key sealed. It
// returns invalid_connector.
func (a *Administration) setConnector(ws *store.Workspace, spec *sallyport.Connector) error {
	hadKey := ws.Connector != nil && ws.SealedKey != nil
	ws.ConnectorVersion++
	if spec == nil {
		ws.Connector, ws.SealedKey = nil, nil
		return nil
	}
	c, ok := a.Connectors[spec.Type]
	if !ok {
		return a.unknownConnector(spec.Type)
	}
	if err := field.CheckRoot(spec.Root); err != nil {
		return err
	}
	checked := *spec
	if c, ok := c.(checker); ok {
		var err error
		if checked, err = c.Check(*spec, hadKey); err != nil {
			return sallyport.Errorf(sallyport.CodeInvalidConnector, "%s", err)
		}
	}
	a.sealKey(ws, checked)
	return nil
}

// sealKey stores spec, and its private key apart, so that it can't be read without
// the key from outside the store.
func (a *Administration) sealKey(ws *store.Workspace, spec sallyport.Connector) {
	ws.Connector = &spec
	if spec.Auth == nil || spec.Auth.Type != sallyport.AuthKey {
		ws.SealedKey = nil
		return
	}
	if spec.Auth.PrivateKey == "" {
		return // the one that is stored
	}
	key := []byte(spec.Auth.PrivateKey)
	defer clear(key)
	auth := *spec.Auth
	auth.PrivateKey = ""
	ws.Connector.Auth, ws.SealedKey = &auth, a.SealKey(ws.ID, key)
}

func (a *Administration) unknownConnector(kind string) error {
	enabled := strings.Join(slices.Sorted(maps.Keys(a.Connectors)), ", ")
	if enabled == "" {
		enabled = "none"
	}
	return sallyport.Errorf(sallyport.CodeInvalidConnector, "connector type %q is not enabled on this server; enabled: %s", kind, enabled)
}
