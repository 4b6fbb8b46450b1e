//go:build linux

// Package eic runs execs on EC2 instances: real sshds behind a simulated EC2 Instance
// Connect Endpoint that checks signatures, grants and limits.
package eic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sallyport/client"
	"sallyport/client/sallyport"
	_ "sallyport/test/apart"
	"sallyport/test/eicsim"
	"sallyport/test/sshd"
	"sallyport/test/stack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	endpointID = "eice-0123456789abcdef0"
	vpc        = "vpc-1"
	subnet     = "subnet-1"
)

// world is a server that finds AWS at a simulator.
type world struct {
	*stack.Stack
	sim    *eicsim.Sim
	client *client.Client
	count  int // of instances
}

func newWorld(t *testing.T, o eicsim.Options, flags map[string]string) *world {
	t.Helper()
	sim := eicsim.Start(t, o)
	sim.AddEndpoint(eicsim.EndpointRecord{ID: endpointID, VPC: vpc, Subnet: subnet})
	env := map[string]string{}
	for name, value := range sim.Env() {
		t.Setenv(name, value) // AWS's own variables are read by its SDK
		env[name] = value
	}
	for name, value := range flags {
		env[name] = value
	}
	w := &world{Stack: stack.Start(t, stack.Options{Env: env}), sim: sim}
	w.client = client.New(w.URL, w.Token)
	t.Cleanup(w.client.Close)
	return w
}

// machine is a workspace on an instance.
type machine struct {
	*world
	name, id string
	sshd     *sshd.Server
}

// newMachine starts an sshd that asks the simulator for keys, and makes an instance that
// has run for long, and a workspace of it.
func (w *world) newMachine(t testing.TB, o sshd.Options) *machine {
	t.Helper()
	w.count++
	m := &machine{world: w, name: fmt.Sprintf("m%d", w.count), id: fmt.Sprintf("i-%017x", w.count)}
	o.Config = append(o.Config, w.sim.SSHDConfig(m.id)...)
	m.sshd = sshd.Start(t, o)
	w.sim.AddInstance(eicsim.Instance{
		ID: m.id, VPC: vpc, Subnet: subnet, PrivateIP: fmt.Sprintf("10.0.2.%d", w.count), Addr: m.sshd.Addr,
		LaunchTime: time.Now().Add(-24 * time.Hour),
	})
	m.create(t, &sallyport.Connector{Type: sallyport.ConnectorEIC, InstanceID: m.id, User: m.sshd.User})
	return m
}

func (m *machine) create(t testing.TB, c *sallyport.Connector) {
	t.Helper()
	body, err := json.Marshal(sallyport.WorkspaceCreate{OrgID: m.Ready.OrgID, Name: m.name, Tier: 3, Connector: c})
	if err != nil {
		t.Fatal(err)
	}
	if a := m.Do(t, http.MethodPost, "/workspaces", m.AdminToken, string(body)); a.Status != http.StatusCreated {
		t.Fatalf("create: %d %s", a.Status, a.Body)
	}
}

// exec runs a command, and returns what it wrote to stdout, unless e says where to.
func (m *machine) exec(ctx context.Context, e client.Exec) (string, *client.ExecDone, error) {
	var out strings.Builder
	e.Workspace = m.name
	if e.Stdout == nil {
		e.Stdout = &out
	}
	done, err := m.client.Exec(ctx, e)
	return out.String(), done, err
}

// must runs a command that must succeed.
func (m *machine) must(t testing.TB, argv ...string) string {
	t.Helper()
	out, done, err := m.exec(t.Context(), client.Exec{Cmd: argv})
	if err != nil || done.ExitCode != 0 {
		t.Fatalf("%q: %v, %v; the simulator refused %q", argv, done, quote(err), m.sim.Rejections())
	}
	return out
}

// onWrite calls a function for each piece of output.
type onWrite func()

func (f onWrite) Write(p []byte) (int, error) {
	f()
	return len(p), nil
}

// rows are the workspace's execs, newest first.
func (m *machine) rows(t testing.TB) []sallyport.Activity {
	t.Helper()
	var page sallyport.List[sallyport.Activity]
	m.Do(t, http.MethodGet, "/workspaces/"+m.name+"/activity?type=workspace_exec&limit=500", m.Token, "").Decode(t, &page)
	return page.Items
}

// quote is an error as the API tells it.
func quote(err error) string {
	var known *sallyport.Error
	if !errors.As(err, &known) {
		return fmt.Sprint(err)
	}
	text, err := json.Marshal(known)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
