//go:build linux

package eic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/cli"
	"sallyport/test/eicsim"
	"sallyport/test/sshd"
)

// run runs the command line as a person without a terminal would.
func (w *world) run(t *testing.T, token string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	env := map[string]string{"SALLYPORT_URL": w.URL, "SALLYPORT_TOKEN": token, "XDG_CONFIG_HOME": t.TempDir()}
	p := cli.Program{
		Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs,
		Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	}
	code = cli.Run(t.Context(), p)
	return code, out.String(), errs.String()
}

// An instance is added with one command, which asks nothing, and looked at with another.
func TestAdd(t *testing.T) {
	w := newWorld(t, eicsim.Options{}, nil)
	m := w.newMachine(t, sshd.Options{})
	code, stdout, stderr := w.run(t, w.Token, "workspaces", "add", "build", "--eic", m.id, "--region", "us-east-2", "--user", m.sshd.User)
	if code != 0 || !strings.Contains(stdout, "workspace build runs commands: Linux") {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}
	if code, stdout, _ := w.run(t, w.Token, "exec", "build", "--", "sh", "-c", "echo there; exit 7"); code != 7 || stdout != "there\n" {
		t.Errorf("exec: %d %q", code, stdout)
	}
	code, stdout, _ = w.run(t, w.Token, "doctor", "build", "--output", "json")
	var found sallyport.Diagnosis
	if err := json.Unmarshal([]byte(stdout), &found); err != nil || code != 0 || !found.OK {
		t.Fatalf("doctor: %d %s", code, stdout)
	}
	for i, name := range []string{"credentials", "instance", "endpoint", "tunnel", "banner", "host_key", "login", "shell", "sftp"} {
		if step := found.Steps[i]; step.Name != name || step.Status != sallyport.StepOK && name != "sftp" {
			t.Errorf("step %+v", step)
		}
	}
	for _, bad := range [][]string{
		{"--eic", "i-1"}, {"--eic", m.id, "--ssh", "u@h"}, {"--eic", m.id, "--key", "x"}, {"--region", "us-east-2", "--ssh", "u@h", "--yes"}, {},
	} {
		if code, _, stderr := w.run(t, w.Token, append([]string{"workspaces", "add", "bad"}, bad...)...); code == 0 {
			t.Errorf("%q: %d %q", bad, code, stderr)
		}
	}
}

// doctor names the step at which the way to an instance ends.
func TestDoctor(t *testing.T) {
	w := newWorld(t, eicsim.Options{}, map[string]string{"SALLYPORT_LIMITS_CONNECT_TIMEOUT": "5s"})
	for _, tt := range []struct {
		step  string
		fault func(m *machine)
		says  string
	}{
		{"instance", state("stopped"), "not running"},
		{"endpoint", func(m *machine) { m.sim.RemoveEndpoint(endpointID) }, "no EC2 Instance Connect Endpoint"},
		{"tunnel", func(m *machine) { m.sim.Deny(eicsim.OpenTunnel) }, "ec2-instance-connect:OpenTunnel"},
		{"banner", fault(eicsim.Faults{CannotConnect: -1}), "security groups"},
		{"login", func(m *machine) { m.patch(t, `{"connector":{"user":"nobody-here"}}`) }, "nobody-here"},
	} {
		m := w.newMachine(t, sshd.Options{})
		tt.fault(m)
		found, err := w.client.Diagnose(t.Context(), m.name)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range found.Steps {
			switch {
			case step.Status == sallyport.StepFail && (step.Name != tt.step || !strings.Contains(step.Detail+step.Hint, tt.says)):
				t.Errorf("%s: %+v", tt.step, step)
			case step.Name == tt.step && step.Status != sallyport.StepFail:
				t.Errorf("%s: %+v", tt.step, step)
			}
		}
		m.sim.Faults(eicsim.Faults{})
		m.sim.Allow(eicsim.OpenTunnel)
		m.sim.AddEndpoint(eicsim.EndpointRecord{ID: endpointID, VPC: vpc, Subnet: subnet})
	}
}

// Instances with given tags become workspaces, with the tags as labels; a dry run only
// shows them.
func TestDiscover(t *testing.T) {
	w := newWorld(t, eicsim.Options{PageMax: 5}, nil)
	for n := range 12 {
		w.sim.AddInstance(eicsim.Instance{
			ID: fmt.Sprintf("i-%08x", n), VPC: vpc, Subnet: subnet, PrivateIP: fmt.Sprintf("10.0.3.%d", n), LaunchTime: time.Now(),
			Tags: map[string]string{"Name": fmt.Sprintf("Build No. %d", n/2), "Team": "build", "aws:autoscaling:groupName": "x"},
		})
	}
	w.sim.AddInstance(eicsim.Instance{ID: "i-0000000f", VPC: "vpc-2", Subnet: "subnet-2", PrivateIP: "10.9.0.1", Tags: map[string]string{"Team": "build"}})
	w.sim.AddInstance(eicsim.Instance{ID: "i-0000001f", VPC: vpc, Subnet: subnet, PrivateIP: "10.0.3.99", Tags: map[string]string{"Team": "other"}})
	w.sim.AddInstance(eicsim.Instance{ID: "i-0000002f", VPC: vpc, Subnet: subnet, PrivateIP: "10.0.3.98", State: "stopped", Tags: map[string]string{"Team": "build"}})
	w.sim.AddInstance(eicsim.Instance{ID: "i-0000003f", VPC: vpc, Subnet: subnet, State: "terminated", Tags: map[string]string{"Team": "build"}})

	list := []string{"workspaces", "discover", "--tag", "Team=build", "--user", "ubuntu"}
	if code, _, stderr := w.run(t, w.Token, list...); code != 1 || !strings.Contains(stderr, "role") {
		t.Errorf("an organisation without a role: %d %q", code, stderr)
	}
	asAdmin := append([]string{"--admin", "--org", "dev"}, list...)
	code, stdout, stderr := w.run(t, w.AdminToken, append(asAdmin, "--dry-run")...)
	if code != 0 || strings.Count(stdout, "would be added") != 12 || strings.Count(stdout, "no endpoint") != 1 || strings.Count(stdout, "not running") != 1 {
		t.Errorf("dry run: %d\n%s%s", code, stdout, stderr)
	}
	var all sallyport.List[sallyport.Workspace]
	w.Do(t, http.MethodGet, "/workspaces", w.Token, "").Decode(t, &all)
	if len(all.Items) != 1 {
		t.Errorf("a dry run made %d workspaces", len(all.Items)-1)
	}
	for _, want := range []string{"added", "is a workspace"} {
		code, stdout, stderr = w.run(t, w.AdminToken, append(asAdmin, "--output", "json")...)
		if code != 0 || strings.Count(stdout, `"result":"`+want+`"`) != 12 {
			t.Errorf("%s: %d\n%s%s", want, code, stdout, stderr)
		}
	}
	var ws sallyport.Workspace
	w.Do(t, http.MethodGet, "/workspaces/build-no--3", w.Token, "").Decode(t, &ws)
	if len(ws.Labels) != 2 || ws.Labels["Team"] != "build" || ws.Labels["Name"] != "Build No. 3" || ws.Connector.User != "ubuntu" || ws.Tier != 3 {
		t.Errorf("made %+v, %+v", ws, ws.Connector)
	}
}
