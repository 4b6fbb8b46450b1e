package sshhost

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh"
)

// TestRefusedRequests: what is not served yet is answered false, and the
// session can go on.
func TestRefusedRequests(t *testing.T) {
	client := newBench(t).dial(t)
	for _, name := range []string{
		"pty-req", "x11-req", "auth-agent-req@openssh.com", "subsystem", "window-change",
		"break", "keepalive@openssh.com", "signal", "env", "", strings.Repeat("x", 1000),
	} {
		session, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		payload := ssh.Marshal(struct{ Name string }{"sftp"})
		if ok, err := session.SendRequest(name, true, payload); ok || err != nil {
			t.Errorf("%.20s: %t, %v", name, ok, err)
		}
		if out, err := session.Output("echo goes on"); string(out) != "goes on\n" {
			t.Errorf("after %.20s: %q, %v", name, out, err)
		}
	}
	for _, name := range []string{"keepalive@openssh.com", "tcpip-forward", "unknown"} {
		if ok, _, err := client.SendRequest(name, true, nil); ok || err != nil {
			t.Errorf("global %s: %t, %v", name, ok, err)
		}
	}
}

func TestRefusedChannels(t *testing.T) {
	client := newBench(t).dial(t)
	for kind, want := range map[string]ssh.RejectionReason{
		"direct-tcpip":                   ssh.ConnectionFailed, // to nowhere
		"direct-streamlocal@openssh.com": ssh.Prohibited,
		"x11":                            ssh.UnknownChannelType,
		"":                               ssh.UnknownChannelType,
	} {
		_, _, err := client.OpenChannel(kind, nil)
		if refusal, ok := err.(*ssh.OpenChannelError); !ok || refusal.Reason != want {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// TestSessionsMax: sessions over the bound are refused, and the place of one
// that has ended is free again.
func TestSessionsMax(t *testing.T) {
	client := newBench(t).dial(t)
	var open []ssh.Channel
	for range sessionsMax {
		channel, requests := rawSession(t, client)
		go ssh.DiscardRequests(requests)
		open = append(open, channel)
	}
	_, _, err := client.OpenChannel("session", nil)
	if refusal, ok := err.(*ssh.OpenChannelError); !ok || refusal.Reason != ssh.ResourceShortage {
		t.Errorf("one more: %v", err)
	}
	open[0].Close()
	eventually(t, "a free place", func() bool {
		_, _, err := client.OpenChannel("session", nil)
		return err == nil
	})
}

// TestOneCommand: a session runs one command.
func TestOneCommand(t *testing.T) {
	client := newBench(t).dial(t)
	channel, _ := rawSession(t, client)
	start(t, channel, "echo first; cat")
	readLine(t, channel)
	for _, name := range []string{"exec", "shell"} {
		if ok, err := channel.SendRequest(name, true, ssh.Marshal(struct{ Line string }{"echo second"})); ok || err != nil {
			t.Errorf("a second %s: %t, %v", name, ok, err)
		}
	}
}

// TestMalformedExec: a payload that is no command line is refused, and neither
// the session nor the connection minds.
func TestMalformedExec(t *testing.T) {
	client := newBench(t).dial(t)
	channel, requests := rawSession(t, client)
	random := rand.New(rand.NewPCG(1, 2))
	payloads := [][]byte{nil, {0}, []byte("\x00\x00\x00\x02x"), []byte("\xff\xff\xff\xffx"),
		[]byte("\x00\x00\x00\x01xy"), []byte("\x00\x00\x00\x03a\x00b")}
	for range 300 {
		payload := make([]byte, random.IntN(200))
		for i := range payload {
			payload[i] = byte(random.Uint32())
		}
		if _, ok := parseExec(payload); !ok {
			payloads = append(payloads, payload)
		}
	}
	for _, payload := range payloads {
		for _, name := range []string{"exec", "signal", "env"} {
			if ok, err := channel.SendRequest(name, true, payload); ok || err != nil {
				t.Fatalf("%s %q: %t, %v", name, payload, ok, err)
			}
		}
	}
	if ok, err := channel.SendRequest("shell", true, []byte("x")); ok || err != nil {
		t.Errorf("shell with a payload: %t, %v", ok, err)
	}
	start(t, channel, "exit 9")
	if request := <-requests; request == nil || string(request.Payload) != "\x00\x00\x00\x09" {
		t.Errorf("got %+v", request)
	}
}

// FuzzPayloads: whatever a client sends, what comes through holds no NUL, and
// is what the payload says.
func FuzzPayloads(f *testing.F) {
	f.Add(ssh.Marshal(struct{ A string }{"true"}))
	f.Add(ssh.Marshal(struct{ A, B string }{"LC_ALL", "C"}))
	f.Add(ssh.Marshal(struct{ A string }{"KILL"}))
	f.Add(Start{Argv: []string{"printf", "%s", ""}, Env: []string{"A=", "B=b"}, Dir: "/tmp"}.Marshal())
	f.Fuzz(func(t *testing.T, payload []byte) {
		if line, ok := parseExec(payload); ok {
			if strings.ContainsRune(line, 0) || !slices.Equal(ssh.Marshal(struct{ A string }{line}), payload) {
				t.Errorf("exec %q", line)
			}
		}
		if name, value, ok := parseEnv(payload); ok {
			if strings.ContainsRune(name+value, 0) || !slices.Equal(ssh.Marshal(struct{ A, B string }{name, value}), payload) {
				t.Errorf("env %q %q", name, value)
			}
		}
		if s, ok := parseStart(payload); ok {
			if strings.ContainsRune(strings.Join(slices.Concat(s.Argv, s.Env, []string{s.Dir}), ""), 0) || s.Argv[0] == "" || !slices.Equal(s.Marshal(), payload) {
				t.Errorf("start %q", s)
			}
		}
		if sig, ok := parseSignal(payload); ok && (sig <= 0 || sig > 31) {
			t.Errorf("signal %d", sig)
		}
	})
}

// TestSignal reaches the whole process group: the command, its child, and the
// child's child.
func TestSignal(t *testing.T) {
	client := newBench(t).dial(t)
	for _, name := range []ssh.Signal{ssh.SIGKILL, ssh.SIGTERM, ssh.SIGHUP, ssh.SIGUSR2} {
		t.Run(string(name), func(t *testing.T) {
			channel, requests := rawSession(t, client)
			if sendSignal(t, channel, name) {
				t.Error("sent before there was a command")
			}
			start(t, channel, `sh -c 'sleep 1000 & echo $! $$; wait' & echo $$; wait`)
			pids := append(strings.Fields(readLine(t, channel)), strings.Fields(readLine(t, channel))...)
			if len(pids) != 3 {
				t.Fatalf("pids %q", pids)
			}
			for _, unknown := range []ssh.Signal{"", "STOP", "SIGKILL", "kill", "9", "BUS"} {
				if sendSignal(t, channel, unknown) {
					t.Errorf("%q was accepted", unknown)
				}
			}
			if !sendSignal(t, channel, name) {
				t.Error("refused")
			}
			request := <-requests
			if request == nil || string(request.Payload) != string(ssh.Marshal(exitSignal{Name: string(name)})) {
				t.Errorf("got %+v", request)
			}
			for _, pid := range pids {
				awaitEnd(t, pid)
			}
		})
	}
}

// TestSignalAfterEnd: once the command has ended its group is out of reach,
// since its number may be another's.
func TestSignalAfterEnd(t *testing.T) {
	client := newBench(t).dial(t)
	channel, requests := rawSession(t, client)
	start(t, channel, "sleep 1000 & echo $!; exit 0")
	pid := readLine(t, channel)
	if request := <-requests; request == nil || request.Type != "exit-status" {
		t.Fatalf("got %+v", request)
	}
	if sendSignal(t, channel, ssh.SIGKILL) {
		t.Error("accepted")
	}
	if got := run(t, client, "kill "+pid, ""); got.code != 0 {
		t.Errorf("the child in the background: %+v", got)
	}
}

// TestSignalDefaults: commands start with the default action of each signal,
// also when the host was started to ignore some, as by nohup.
func TestSignalDefaults(t *testing.T) {
	const asked = "SSHHOST_TEST_SIGNALS"
	if os.Getenv(asked) == "" {
		line := `trap '' HUP INT QUIT TERM PIPE USR1; exec "$0" -test.run='^TestSignalDefaults$'`
		cmd := exec.Command("/bin/sh", "-c", line, os.Args[0])
		cmd.Env = append(os.Environ(), asked+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	client := newBench(t).dial(t)
	for _, name := range []string{"HUP", "INT", "QUIT", "TERM", "PIPE", "USR1"} {
		if got := run(t, client, "ulimit -c 0; kill -"+name+" $$", ""); got.signal != name {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil { // as before, it does nothing
		t.Error(err)
	}
}

func sendSignal(t *testing.T, channel ssh.Channel, name ssh.Signal) bool {
	t.Helper()
	ok, err := channel.SendRequest("signal", true, ssh.Marshal(struct{ Name string }{string(name)}))
	if err != nil {
		t.Error(err)
	}
	return ok
}

func TestSetenvBounds(t *testing.T) {
	client := newBench(t).dial(t)
	channel, _ := rawSession(t, client)
	setenv := func(name, value string) bool {
		ok, err := channel.SendRequest("env", true, ssh.Marshal(struct{ A, B string }{name, value}))
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	for i := range envNamesMax {
		if !setenv(fmt.Sprintf("LC_%d", i), "x") {
			t.Fatalf("variable %d was refused", i)
		}
	}
	if setenv("LANG", "C") {
		t.Error("one variable too many was accepted")
	}
	channel, _ = rawSession(t, client)
	if setenv("LANG", strings.Repeat("x", envBytesMax)) {
		t.Error("64 KiB were accepted")
	}
	start(t, channel, "cat")
	if setenv("LANG", "C") {
		t.Error("accepted while the command ran")
	}
}
