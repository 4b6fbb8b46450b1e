// Package natsd runs a cluster of real NATS servers on loopback for tests.
package natsd

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"sallyport/test/loopback"
)

// startTime bounds the start of a node, and until all nodes know one another.
const startTime = 30 * time.Second

// Cluster is NATS servers that know one another. Its methods are for the test's own
// goroutine.
type Cluster struct {
	nodes []*node
}

// node is one server, which keeps its addresses when it is stopped and started.
type node struct {
	options server.Options
	server  *server.Server
}

// Start starts n servers, which are stopped when the test ends.
func Start(t testing.TB, n int) *Cluster {
	t.Helper()
	c := &Cluster{}
	var routes []*url.URL
	for i := range n {
		client, cluster := freePort(t), freePort(t)
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", cluster)})
		c.nodes = append(c.nodes, &node{options: server.Options{
			ServerName: fmt.Sprintf("node-%d", i), Host: "127.0.0.1", Port: client, NoSigs: true, NoLog: true, NoSystemAccount: true,
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: cluster, NoAdvertise: true},
		}})
	}
	t.Cleanup(func() {
		for i := range c.nodes {
			c.Stop(i)
		}
	})
	for i, node := range c.nodes {
		node.options.Routes = routes
		c.Start(t, i)
	}
	c.await(t)
	return c
}

// URL names all nodes.
func (c *Cluster) URL() string {
	var urls []string
	for _, n := range c.nodes {
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", n.options.Port))
	}
	return strings.Join(urls, ",")
}

// Stop ends a node, and waits for it.
func (c *Cluster) Stop(i int) {
	n := c.nodes[i]
	if n.server != nil {
		n.server.Shutdown()
		n.server.WaitForShutdown()
		n.server = nil
	}
}

// Start starts a node that was stopped.
func (c *Cluster) Start(t testing.TB, i int) {
	t.Helper()
	n := c.nodes[i]
	options := n.options // the server keeps and changes what it is given
	s, err := server.NewServer(&options)
	if err != nil {
		t.Fatalf("nats: %v", err)
	}
	n.server = s
	s.Start()
	if !s.ReadyForConnections(startTime) {
		t.Fatalf("nats: node %d does not start", i)
	}
}

// await waits until each node has a route to every other.
func (c *Cluster) await(t testing.TB) {
	t.Helper()
	deadline := time.Now().Add(startTime)
	for _, n := range c.nodes {
		for n.server.NumRoutes() < len(c.nodes)-1 {
			if time.Now().After(deadline) {
				t.Fatal("nats: the nodes don't find one another")
			}
			<-time.After(10 * time.Millisecond)
		}
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	free, err := loopback.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return free
}
