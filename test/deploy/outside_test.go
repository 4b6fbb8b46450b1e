package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// run runs a program in dir, cut off from the network, and returns its output.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

const outsideProgram = `package main

import (
	"context"
	"os"

	"sallyport/client"
	"sallyport/client/sallyport"
)

func main() {
	c := client.New("http://127.0.0.1:1", "token")
	defer c.Close()
	_, err := c.Exec(context.Background(), client.Exec{Workspace: "w", Cmd: []string{"true"}, Stdout: os.Stdout})
	if sallyport.CodeOf(err) != "" {
		os.Exit(1)
	}
}
`

// TestClientBringsNoServer: a program of somebody else's that imports the client, with
// the lines of docs/api.md, has nothing else in its graph but the library of WebSockets.
func TestClientBringsNoServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	client, err := filepath.Abs("../../client")
	if err != nil {
		t.Fatal(err)
	}
	module := "module program.example/outside\n\ngo 1.26.0\n\nrequire sallyport/client v0.0.0\n\nreplace sallyport/client => " + client + "\n"
	// The sums are the client's: no database of sums is asked, which is out of reach where
	// modules come from a mirror.
	sums, err := os.ReadFile("../../client/go.sum")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"go.mod": module, "go.sum": string(sums), "main.go": outsideProgram} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(t, dir, "go", "mod", "tidy")
	run(t, dir, "go", "build", "-o", "program", ".")
	const socket = "github.com/coder/websocket"
	modules := run(t, dir, "go", "list", "-m", "-f", "{{.Path}}{{with .Replace}} => {{.Path}}{{end}}", "all")
	if want := "program.example/outside\n" + socket + "\nsallyport/client => " + client + "\n"; modules != want {
		t.Errorf("its modules are:\n%swant:\n%s", modules, want)
	}
	for _, dep := range strings.Fields(run(t, dir, "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".")) {
		allowed := func(root string) bool { return dep == root || strings.HasPrefix(dep, root+"/") }
		if !slices.ContainsFunc([]string{"program.example/outside", "sallyport/client", socket}, allowed) {
			t.Errorf("it builds %s", dep)
		}
	}
}

// TestRenameModule: on the day there is a public path, one script gives it to all.
func TestRenameModule(t *testing.T) {
	t.Parallel()
	const path = "code.example/team/sallyport"
	dir := t.TempDir()
	run(t, "../..", "sh", "-c", `tar c --exclude ./.git --exclude ./bin --exclude node_modules . | tar x -C "$1"`, "sh", dir)
	for _, bad := range []string{"", "sallyport", "no-host/x", "host.example/a b", "https://host.example/x"} {
		if exec.Command(filepath.Join(dir, "scripts", "rename-module"), bad).Run() == nil {
			t.Errorf("%q is taken for a path", bad)
		}
	}
	run(t, dir, "scripts/rename-module", path)
	packages := run(t, dir, "go", "list", "-deps", "-test", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./...", path+"/client/...")
	for _, name := range strings.Fields(packages) {
		if strings.HasPrefix(name, "sallyport") {
			t.Errorf("%s has the old path", name)
		}
	}
	if !strings.Contains(packages, path+"/internal/gateway\n") || !strings.Contains(packages, path+"/client/frame\n") {
		t.Errorf("packages are missing of:\n%s", packages)
	}
	run(t, filepath.Join(dir, "client"), "go", "build", "./...")
	for _, name := range []string{"README.md", "docs/api.md", "Makefile", "scripts/lint", "scripts/fuzz"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(text), path) {
			t.Errorf("%s doesn't name the new path: %v", name, err)
		}
	}
}
