//go:build linux

package eic_test

import (
	"context"
	"net"
	"net/url"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sallyport/client/sallyport"
	"sallyport/internal/connector"
	"sallyport/internal/connector/connectortest"
	"sallyport/internal/connector/eic"
	_ "sallyport/test/apart"
	"sallyport/test/eicsim"
	"sallyport/test/sshd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newSim starts a simulator with an endpoint, and a connector that finds AWS there.
func newSim(t *testing.T, o eicsim.Options) (*eicsim.Sim, *eic.Connector) {
	t.Helper()
	sim := eicsim.Start(t, o)
	sim.AddEndpoint(eicsim.EndpointRecord{ID: "eice-0123456789abcdef0", VPC: "vpc-1", Subnet: "subnet-1"})
	for name, value := range sim.Env() {
		t.Setenv(name, value)
	}
	tunnel, err := url.Parse(sim.TunnelEndpoint())
	if err != nil {
		t.Fatal(err)
	}
	c := eic.New(eic.Options{TunnelEndpoint: tunnel})
	t.Cleanup(func() { c.Close() })
	return sim, c
}

// add makes an instance that has run for long, and the target that is it.
func add(sim *eicsim.Sim, id, addr, user string) connector.Target {
	sim.AddInstance(eicsim.Instance{
		ID: id, VPC: "vpc-1", Subnet: "subnet-1", PrivateIP: "10.0.2." + id[len(id)-1:], Addr: addr, LaunchTime: time.Now().Add(-time.Hour),
	})
	return connector.Target{WorkspaceID: "w" + id, Spec: sallyport.Connector{Type: sallyport.ConnectorEIC, InstanceID: id, User: user}}
}

func TestConnector(t *testing.T) {
	connectortest.Run(t, func(t *testing.T) connectortest.Fixture {
		sim, c := newSim(t, eicsim.Options{})
		server := sshd.Start(t, sshd.Options{Config: sim.SSHDConfig("i-00000001")})
		deaf := listen(t)
		dial := connectortest.To(c, add(sim, "i-00000001", server.Addr, server.User))
		return connectortest.Fixture{
			Dial: dial,
			Stalled: func(ctx context.Context) (*connector.Link, error) {
				sim.Faults(eicsim.Faults{StallAPI: map[string]bool{eicsim.DescribeEndpoints: true}})
				return dial(ctx)
			},
			Deaf:    connectortest.To(c, add(sim, "i-00000002", deaf, server.User)),
			HostKey: server.HostKey,
		}
	})
}

// listen is the address of a server that accepts, and neither reads nor writes.
func listen(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}
