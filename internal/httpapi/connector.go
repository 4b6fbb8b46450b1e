package httpapi

import (
	"math"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"sallyport/client/sallyport"
)

// connectorBody is a connector as it came: of any type, or a merge patch.
type connectorBody struct {
	Type            optional[string]   `json:"type"`
	Root            optional[string]   `json:"root"`
	Host            optional[string]   `json:"host"`
	Port            optional[integer]  `json:"port"`
	User            optional[string]   `json:"user"`
	HostKey         optional[string]   `json:"host_key"`
	TrustOnFirstUse optional[bool]     `json:"trust_on_first_use"`
	Auth            optional[authBody] `json:"auth"`
	InstanceID      optional[string]   `json:"instance_id"`
	Region          optional[string]   `json:"region"`
	EndpointID      optional[string]   `json:"endpoint_id"`
	PrivateIP       optional[string]   `json:"private_ip"`
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (b *connectorBody) UnmarshalJSONFrom(dec *jsontext.Decoder) error { return readObject(dec, b) }

type authBody struct {
	Type       optional[string] `json:"type"`
	PrivateKey optional[string] `json:"private_key"`
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (b *authBody) UnmarshalJSONFrom(dec *jsontext.Decoder) error { return readObject(dec, b) }

// connectorFields are the fields of each type.
func connectorFields(kind string) []string {
	switch kind {
	case sallyport.ConnectorLocal:
		return []string{"type", "root"}
	case sallyport.ConnectorSSH:
		return []string{"type", "root", "host", "port", "user", "host_key", "trust_on_first_use", "auth"}
	case sallyport.ConnectorEIC:
		return []string{"type", "root", "instance_id", "region", "user", "endpoint_id", "private_ip", "host_key", "trust_on_first_use"}
	}
	return nil // the gateway knows that there is no such type
}

// given are the names of the fields that are there; those that are null too, or not.
func (b *connectorBody) given(nulls bool) (names []string) {
	for _, f := range []struct {
		name        string
		given, null bool
	}{
		{"type", b.Type.given, b.Type.null}, {"root", b.Root.given, b.Root.null}, {"host", b.Host.given, b.Host.null}, {"port", b.Port.given, b.Port.null},
		{"user", b.User.given, b.User.null}, {"host_key", b.HostKey.given, b.HostKey.null},
		{"trust_on_first_use", b.TrustOnFirstUse.given, b.TrustOnFirstUse.null}, {"auth", b.Auth.given, b.Auth.null},
		{"instance_id", b.InstanceID.given, b.InstanceID.null}, {"region", b.Region.given, b.Region.null},
		{"endpoint_id", b.EndpointID.given, b.EndpointID.null}, {"private_ip", b.PrivateIP.given, b.PrivateIP.null},
	} {
		if f.given && (nulls || !f.null) {
			names = append(names, f.name)
		}
	}
	return names
}

// check refuses fields that a type of connector doesn't have.
func checkConnectorFields(kind string, given []string) error {
	fields := connectorFields(kind)
	for _, name := range given {
		if fields != nil && !slices.Contains(fields, name) {
			return unknownField("connector."+name, fields)
		}
	}
	return nil
}

// connector is a new one.
func (b *connectorBody) connector() (*sallyport.Connector, error) {
	if err := checkConnectorFields(b.Type.value, b.given(true)); err != nil {
		return nil, err
	}
	c := &sallyport.Connector{}
	b.apply(c)
	return c, nil
}

// mergeConnector applies a JSON merge patch (RFC 7396) to a connector. One of another
// type begins anew.
func mergeConnector(now *sallyport.Connector, patch optional[connectorBody]) (*sallyport.Connector, error) {
	if patch.null {
		return nil, nil
	}
	b := &patch.value
	switch {
	case now == nil:
		return b.connector()
	case len(b.given(true)) == 0:
		return nil, sallyport.Errorf(sallyport.CodeInvalidConnector, `connector says nothing: name the fields to change, or null to take it away`)
	case b.Type.given && b.Type.value != now.Type:
		return b.connector()
	}
	if err := checkConnectorFields(now.Type, b.given(false)); err != nil {
		return nil, err
	}
	merged := *now
	b.apply(&merged)
	return &merged, nil
}

// apply changes the fields that are there.
func (b *connectorBody) apply(c *sallyport.Connector) {
	b.Type.merge(&c.Type)
	b.Root.merge(&c.Root)
	b.Host.merge(&c.Host)
	b.User.merge(&c.User)
	b.HostKey.merge(&c.HostKey)
	b.TrustOnFirstUse.merge(&c.TrustOnFirstUse)
	b.InstanceID.merge(&c.InstanceID)
	b.Region.merge(&c.Region)
	b.EndpointID.merge(&c.EndpointID)
	b.PrivateIP.merge(&c.PrivateIP)
	switch {
	case b.Port.null:
		c.Port = 0
	case b.Port.given:
		c.Port = int(min(max(b.Port.value, -1), math.MaxUint16+1))
		if c.Port == 0 {
			c.Port = -1 // one that is given is never 0, which stands for none
		}
	}
	switch {
	case b.Auth.null:
		c.Auth = nil
	case b.Auth.given:
		var auth sallyport.ConnectorAuth
		if c.Auth != nil {
			auth = *c.Auth
		}
		b.Auth.value.Type.merge(&auth.Type)
		b.Auth.value.PrivateKey.merge(&auth.PrivateKey)
		c.Auth = &auth
	}
}
