// Package acceptance drives the program as people do: scripts run `sallyport dev`
// and talk to it through the command line, as the admin, as the owner of the
// organisation dev, and as a stranger. An attack-*.txtar tells what was tried.
package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"sallyport/internal/cli"
	"sallyport/internal/server"
	_ "sallyport/test/apart"
	"sallyport/test/spec"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sallyport": func() {
		signals := make(chan os.Signal, 4)
		signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
		path, _ := exec.LookPath("sallyport") // a script's PATH begins with it
		os.Exit(cli.Run(context.Background(), cli.Program{
			Version: "test", Path: path, Args: os.Args[1:], Env: os.LookupEnv, Signals: signals,
			Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		}))
	}})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			setHome(env)
			return nil
		},
		Cmds: scriptCommands(),
	})
}

// setHome gives a script a home of its own, and names for what can't be typed.
func setHome(env *testscript.Env) {
	env.Setenv("HOME", env.WorkDir)
	for name, value := range map[string]string{"ESC": "\x1b", "CR": "\r", "LF": "\n", "BIDI": "\u202e", "ZWSP": "\u200b"} {
		env.Setenv(name, value)
	}
	env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, ".config"))
	env.Setenv("XDG_DATA_HOME", filepath.Join(env.WorkDir, ".data"))
}

func scriptCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"dev":     startDev,
		"signal":  signalDev,
		"ended":   awaitEnd,
		"as":      as,
		"request": request,
		"exits":   exits,
		"field":   field,
		"awaits":  awaits,
	}
}

type devServer struct {
	cmd   *exec.Cmd
	log   string
	ready server.Ready
}

// startDev is `dev [FLAG...]`: it starts a server, waits until it can serve, and
// sets URL, ORG, WORKSPACE, and the tokens ADMIN and OWNER.
func startDev(ts *testscript.TestScript, _ bool, args []string) {
	readyFile, logFile := ts.MkAbs("ready.json"), ts.MkAbs("server.log")
	log, err := os.Create(logFile)
	ts.Check(err)
	defer log.Close()
	program, err := exec.LookPath("sallyport")
	ts.Check(err)
	args = append([]string{"dev", "--listen", "127.0.0.1:0", "--ready-file", readyFile}, args...)
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "HOME="+ts.Getenv("HOME"), "XDG_CONFIG_HOME="+ts.Getenv("XDG_CONFIG_HOME"), "XDG_DATA_HOME="+ts.Getenv("XDG_DATA_HOME"))
	cmd.Stdout, cmd.Stderr = log, log
	ts.Check(cmd.Start())
	s := &devServer{cmd: cmd, log: logFile}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ts.Defer(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	s.awaitReady(ts, readyFile, ended)
	for name, value := range map[string]string{
		"URL": s.ready.URL, "ORG": s.ready.OrgID, "WORKSPACE": s.ready.WorkspaceID, "ADMIN": s.ready.AdminToken, "OWNER": s.ready.Token,
	} {
		ts.Setenv(name, value)
	}
	scriptServers(ts, s)
}

func (s *devServer) awaitReady(ts *testscript.TestScript, readyFile string, ended chan error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for {
		select {
		case <-tick.C:
			if body, err := os.ReadFile(readyFile); err == nil {
				ts.Check(json.Unmarshal(body, &s.ready))
				return
			}
		case err := <-ended:
			ended <- err
			log, _ := os.ReadFile(s.log)
			ts.Fatalf("dev ended: %v\n%s", err, log)
		case <-limit:
			ts.Fatalf("dev is not ready after 30 s")
		}
	}
}

// scriptServers remembers the script's server for signal.
func scriptServers(ts *testscript.TestScript, s *devServer) {
	ts.Setenv("SERVER_PID", fmt.Sprint(s.cmd.Process.Pid))
}

// signalDev is `signal SIGNAL`: it signals the server. testscript has a stop of its own, which
// ends the script.
func signalDev(ts *testscript.TestScript, _ bool, args []string) {
	var pid int
	_, err := fmt.Sscan(ts.Getenv("SERVER_PID"), &pid)
	ts.Check(err)
	signals := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL}
	ts.Check(syscall.Kill(pid, signals[args[0]]))
}

// awaitEnd is `ended`: it waits until the server that was stopped is gone.
func awaitEnd(ts *testscript.TestScript, _ bool, _ []string) {
	var pid int
	_, err := fmt.Sscan(ts.Getenv("SERVER_PID"), &pid)
	ts.Check(err)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for syscall.Kill(pid, 0) == nil {
		select {
		case <-tick.C:
		case <-limit:
			ts.Fatalf("the server is there after 30 s")
		}
	}
}

// as is `as PERSONA|TOKEN`: who the command line is from now on.
func as(ts *testscript.TestScript, _ bool, args []string) {
	token := args[0]
	switch token {
	case "admin":
		token = ts.Getenv("ADMIN")
	case "owner":
		token = ts.Getenv("OWNER")
	case "stranger":
		token = "sp_org_00000000000000000000000000000000000000000000000000000000000000"
	}
	ts.Setenv("SALLYPORT_URL", ts.Getenv("URL"))
	ts.Setenv("SALLYPORT_TOKEN", token)
}

// request is `request [-H 'NAME: VALUE']... STATUS METHOD PATH [BODY]`: a raw request
// with the persona's token; the answer's body becomes the file answer.
func request(ts *testscript.TestScript, neg bool, args []string) {
	header := http.Header{}
	for ; len(args) > 1 && args[0] == "-H"; args = args[2:] {
		name, value, _ := strings.Cut(args[1], ": ")
		header.Add(name, value)
	}
	status, method, path, body := args[0], args[1], args[2], ""
	if len(args) > 3 {
		body = args[3]
	}
	req, err := http.NewRequest(method, ts.Getenv("URL")+path, strings.NewReader(body))
	ts.Check(err)
	if token := ts.Getenv("SALLYPORT_TOKEN"); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	ts.Check(err)
	ts.Check(spec.CheckRead(method, path, resp, answer))
	ts.Check(os.WriteFile(ts.MkAbs("answer"), answer, 0o600))
	if got := fmt.Sprint(resp.StatusCode); (got == status) == neg {
		ts.Fatalf("%s %s: got %s %s, want %s", method, path, got, answer, status)
	}
}

// exits is `exits CODE COMMAND...`.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit, ok := err.(*exec.ExitError); ok {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// field is `field NAME FILE VARIABLE`: the value of a field of the JSON object in
// a file (stdout is one) becomes a variable.
func field(ts *testscript.TestScript, _ bool, args []string) {
	var object map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &object))
	value, ok := object[args[0]]
	if !ok {
		ts.Fatalf("no field %s in %s", args[0], args[1])
	}
	ts.Setenv(args[2], fmt.Sprint(value))
}

// awaits is `awaits FILE PATTERN`: it waits until the file has a match.
func awaits(ts *testscript.TestScript, _ bool, args []string) {
	pattern, err := regexp.Compile(args[1])
	ts.Check(err)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && pattern.Match(text) {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			ts.Fatalf("no %s in %s, which is %q", args[1], args[0], text)
		}
	}
}
