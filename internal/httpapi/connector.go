package httpapi

import (
	"encoding/json"
	"maps"
	"math"

	"github.com/go-json-experiment/json/jsontext"

	"sallyport"
)

// readConnector reads a connector: each type has its own fields.
func readConnector(v jsontext.Value) (*sallyport.Connector, error) {
	if v.Kind() != '{' {
		return nil, sallyport.Errorf(sallyport.CodeInvalidConnector, `connector must be an object, for example {"type":"local"}`)
	}
	o, err := parseObject(v)
	if err != nil {
		return nil, err
	}
	return connectorOf(o)
}

func connectorOf(o object) (*sallyport.Connector, error) {
	kind, err := o.str("type", sallyport.CodeInvalidConnector)
	if err != nil {
		return nil, err
	}
	c := &sallyport.Connector{Type: kind}
	switch kind {
	case sallyport.ConnectorLocal:
		return c, o.only("connector.", "type")
	case sallyport.ConnectorSSH:
		return c, readSSH(o, c)
	case sallyport.ConnectorEIC:
		return c, readEIC(o, c)
	}
	return c, nil // the gateway knows that there is no such type
}

func readSSH(o object, c *sallyport.Connector) (err error) {
	if err := o.only("connector.", "type", "host", "port", "user", "host_key", "trust_on_first_use", "auth"); err != nil {
		return err
	}
	for name, into := range map[string]*string{"host": &c.Host, "user": &c.User, "host_key": &c.HostKey} {
		if *into, err = o.str(name, sallyport.CodeInvalidConnector); err != nil {
			return err
		}
	}
	port, err := o.integer("port", sallyport.CodeInvalidConnector)
	if err != nil {
		return err
	}
	if port != nil {
		c.Port = int(min(max(*port, -1), math.MaxUint16+1))
		if c.Port == 0 {
			c.Port = -1 // one that is given is never 0, which stands for none
		}
	}
	if c.TrustOnFirstUse, err = o.boolean("trust_on_first_use", sallyport.CodeInvalidConnector); err != nil {
		return err
	}
	v, ok := o.get("auth")
	if !ok {
		return nil
	}
	if v.Kind() != '{' {
		return sallyport.Errorf(sallyport.CodeInvalidConnector, `connector.auth must be an object, for example {"type":"ca"}`)
	}
	auth, err := parseObject(v)
	if err != nil {
		return err
	}
	if err := auth.only("connector.auth.", "type", "private_key"); err != nil {
		return err
	}
	c.Auth = &sallyport.ConnectorAuth{}
	if c.Auth.Type, err = auth.str("type", sallyport.CodeInvalidConnector); err != nil {
		return err
	}
	c.Auth.PrivateKey, err = auth.str("private_key", sallyport.CodeInvalidConnector)
	return err
}

func readEIC(o object, c *sallyport.Connector) (err error) {
	if err := o.only("connector.", "type", "instance_id", "region", "user", "endpoint_id", "private_ip", "host_key", "trust_on_first_use"); err != nil {
		return err
	}
	for name, into := range map[string]*string{
		"instance_id": &c.InstanceID, "region": &c.Region, "user": &c.User, "endpoint_id": &c.EndpointID, "private_ip": &c.PrivateIP,
		"host_key": &c.HostKey,
	} {
		if *into, err = o.str(name, sallyport.CodeInvalidConnector); err != nil {
			return err
		}
	}
	c.TrustOnFirstUse, err = o.boolean("trust_on_first_use", sallyport.CodeInvalidConnector)
	return err
}

// mergeConnector applies a JSON merge patch (RFC 7396) to a connector. One of another
// type begins anew.
func mergeConnector(now *sallyport.Connector, patch jsontext.Value) (*sallyport.Connector, error) {
	if patch.Kind() == 'n' {
		return nil, nil
	}
	if patch.Kind() != '{' || now == nil {
		return readConnector(patch)
	}
	o, err := parseObject(patch)
	switch {
	case err != nil:
		return nil, err
	case len(o) == 0:
		return nil, sallyport.Errorf(sallyport.CodeInvalidConnector, `connector says nothing: name the fields to change, or null to take it away`)
	}
	if kind, ok := o["type"]; ok && string(kind) != `"`+now.Type+`"` {
		return connectorOf(o)
	}
	text, err := json.Marshal(now)
	if err != nil {
		return nil, err
	}
	merged, err := parseObject(text)
	if err != nil {
		return nil, err
	}
	if err := mergeObject(merged, o); err != nil {
		return nil, err
	}
	return connectorOf(merged)
}

// mergeObject merges patch into target, and what objects it holds into those there.
func mergeObject(target, patch object) error {
	for name, v := range patch {
		before, there := target[name]
		switch {
		case v.Kind() == 'n':
			delete(target, name)
			continue
		case v.Kind() != '{' || !there || before.Kind() != '{':
			target[name] = v
			continue
		}
		inner, err := parseObject(before)
		if err != nil {
			return err
		}
		change, err := parseObject(v)
		if err != nil {
			return err
		}
		if err := mergeObject(inner, change); err != nil {
			return err
		}
		text, err := json.Marshal(map[string]jsontext.Value(maps.Clone(inner)))
		if err != nil {
			return err
		}
		target[name] = text
	}
	return nil
}
