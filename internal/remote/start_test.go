package remote_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/remote"
	"sallyport/internal/sshhost"
)

// A program that our own host starts can't be told from one that shells become, by what it
// sees and by what its caller sees.
func TestStartOnHostEqualsShell(t *testing.T) {
	home := oddHome(t)
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(home, link))
	ash := filepath.Join(t.TempDir(), "ash")
	must(t, os.Symlink("/bin/dash", ash))
	few := fewCommands()
	type account struct {
		shell, home string
		commands    []remote.Command
	}
	accounts := map[string]account{
		"bash": {"/bin/bash", home, few},
		"sh":   {"/bin/sh", home, few}, "dash": {"/bin/dash", home, few}, "ash": {ash, home, few},
		"home behind a link": {"/bin/bash", link, few}, "no home": {"/bin/sh", filepath.Join(home, "gone"), few},
	}
	n := 0
	for part := range slices.Chunk(oddCommands(home), 80) { // apart, since many of them wait
		n++
		accounts[fmt.Sprintf("bash %d", n)] = account{"/bin/bash", home, part}
	}
	for name, account := range accounts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			byShell, byHost := newMachine(t, account.shell, account.home), newHost(t, account.shell, account.home)
			for _, m := range []*machine{byShell, byHost} {
				m.run(t.Context(), remote.Command{Argv: []string{"no-such-program"}}) // the login shell is known from now on
			}
			for _, cmd := range account.commands {
				want, got := runLooked(t, byShell, cmd), runLooked(t, byHost, cmd)
				if want, got := visible(want), visible(got); want != got {
					t.Errorf("%.200q\nby a shell: %s\nby the host: %s", fmt.Sprint(cmd.Argv, cmd.Env, cmd.Dir), want, got)
				}
			}
		})
	}
}

// runLooked runs a command, again if it was ended while the machine had no time for a look at
// what is left of it.
func runLooked(t *testing.T, m *machine, cmd remote.Command) result {
	for {
		cmd.ExecID = id.New()
		if r := m.run(t.Context(), cmd); !r.Survivors.Forced || r.Survivors.Known || t.Context().Err() != nil {
			return r
		}
	}
}

// oddHome makes a home with programs, and with what looks like some.
func oddHome(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	for _, dir := range []string{"sub", "sub/deep", "-", "a b'\n", "dirs/say", "first", "second", "é", "~"} {
		must(t, os.MkdirAll(filepath.Join(home, dir), 0o755))
	}
	const says = "#!/bin/sh\necho \"$0 $*\"\n"
	for name, content := range map[string]string{
		"say": says, "-x": says, "sub/say": says, "second/say": says, "~/say": says, "é/a b": says, "second/no-interpreter": says,
		"plain": "echo plain $0 $*\n", "second/plain": "echo plain $0 $*\nexit 4\n", "empty": "",
		"no-interpreter": "#!/no/such/interpreter\n", "first/no-interpreter": "#!/no/such/interpreter\n",
		"garbage": "\x00\x01\x02\xff\x7fELF", "broken": "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 200), "text": "not a \"program",
	} {
		must(t, os.WriteFile(filepath.Join(home, name), []byte(content), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(home, "first/say"), []byte(says), 0o644))
	must(t, os.WriteFile(filepath.Join(home, "not-executable"), []byte(says), 0o644))
	must(t, os.Symlink("sub/deep", filepath.Join(home, "link")))
	must(t, os.Symlink("loop", filepath.Join(home, "loop")))
	must(t, os.Symlink("say", filepath.Join(home, "linked")))
	return home
}

// fewCommands show what depends on the account.
func fewCommands() []remote.Command {
	all := []remote.Command{
		{Argv: []string{"printf", "%s|", "", "a b", "\n"}}, {Argv: []string{"no-such-program"}}, {Argv: []string{"./plain", "arg"}}, {Argv: []string{"/"}},
		{Argv: []string{"cat"}, Stdin: []byte("in")}, {Argv: []string{"./say"}, Dir: "sub"}, {Argv: []string{"env"}, Env: []remote.Var{{Name: "PWD", Value: "x"}}},
		{Argv: []string{"/bin/sh", "-c", `grep -E '^(Sig[BIC]|Uid|Gid|Groups|Cap)' /proc/self/status; ls /proc/self/fd; umask; ulimit -a`}},
	}
	for _, dir := range []string{"", "/tmp", "sub", "link", "link/..", "..", "gone", "say"} {
		all = append(all, remote.Command{Argv: []string{"env"}, Dir: dir}, remote.Command{Argv: []string{"pwd", "-P"}, Dir: dir})
	}
	return all
}

// oddCommands are what shells and execve(2) may see in different ways.
func oddCommands(home string) []remote.Command {
	var all []remote.Command
	add := func(cmd remote.Command) { all = append(all, cmd) }
	sh := func(script string) remote.Command { return remote.Command{Argv: []string{"/bin/sh", "-c", script}} }
	for _, argv := range [][]string{
		{"printf", "%s|", "", "a b", "\n", "-", "é€", "'", `\`, "$HOME", "*"}, {"echo"}, {"/bin/echo", ""}, {"/usr/bin/printf", ""},
		{"sh", "-c", "exit 126"}, {"sh", "-c", "exit 127"}, {"sh", "-c", "exit 255"}, {"false"},
		{"cat", "/proc/self/cmdline"}, {"env"}, {"pwd"}, {"/bin/pwd", "-P"}, {"id"}, {"nice"}, {"tty"},
	} {
		add(remote.Command{Argv: argv})
	}
	for _, name := range []string{
		"no-such-program", "/no/such/program", "./no-such-program", home, "/", ".", "..", "./", " ", "\n", "%", "~", "$HOME", "exec", "cd", ":", "export",
		"./not-executable", "./plain", "./empty", "./garbage", "./broken", "./text", "./no-interpreter", "./loop", "./linked", "./sub", "say", "sub/say",
		"sub/../say", "./say/", "./é/a b", home + "/say", strings.Repeat("n", 300), "./" + strings.Repeat("n", 300), strings.Repeat("d/", 3000) + "x", "-x", "a=b", "!",
	} {
		add(remote.Command{Argv: []string{name, "arg", ""}})
	}
	for _, search := range []string{
		"HOME", "HOME/", "HOME/first:HOME/second", "HOME/dirs:HOME/second", "HOME/gone:HOME/say:HOME/second", "", ":", ".", "sub", "HOME/first:", ":HOME/second", "~",
		"HOME/~", "HOME/second%builtin", "%builtin", "HOME//second", "/:HOME/second", "HOME/loop:HOME/second", "HOME/first", "/nowhere",
	} {
		env := []remote.Var{{Name: "PATH", Value: strings.ReplaceAll(search, "HOME", home)}}
		for _, name := range []string{"say", "plain", "no-interpreter", "-x", "env"} {
			add(remote.Command{Argv: []string{name, "arg"}, Env: env, Dir: "second"})
		}
	}
	for _, dir := range []string{
		"/", "/tmp", "/tmp/", "//tmp", "//", "/tmp/.", "/tmp//.//", "/./tmp", "sub", "./sub", "sub/", "sub/deep", "link", "link/", "link/..", "sub/..", "..", "../", ".", "./.", "-", "~",
		"a b'\n", "é", "gone", "say", "say/", "loop", home, home + "/link", strings.Repeat("d", 300), strings.Repeat("./", 3000) + "sub",
	} {
		add(remote.Command{Argv: []string{"/bin/sh", "-c", `env; /bin/pwd -P; ./say`}, Dir: dir})
	}
	for _, env := range [][]remote.Var{
		{{Name: "PWD", Value: "/nowhere"}}, {{Name: "OLDPWD", Value: "x"}}, {{Name: "HOME", Value: "/nowhere"}, {Name: "SHELL", Value: "/bin/zsh"}}, {{Name: "EMPTY", Value: ""}},
		{{Name: "IFS", Value: "x"}, {Name: "PS1", Value: "$"}, {Name: "PS4", Value: "$(id)"}}, {{Name: "CDPATH", Value: "/"}, {Name: "ENV", Value: "./say"}}, {{Name: "LC_ALL", Value: "no_SUCH"}},
		{{Name: "LANG", Value: "C"}, {Name: "TZ", Value: "UTC-3"}}, {{Name: "A", Value: "a\nb'\"$x\\ é"}}, {{Name: "POSIXLY_CORRECT", Value: "1"}}, {{Name: "USER", Value: "u"}, {Name: "LOGNAME", Value: "l"}},
		{{Name: "BIG", Value: strings.Repeat("x", 60<<10)}},
	} {
		add(remote.Command{Argv: []string{"env"}, Env: env, Dir: "sub"})
	}
	for _, script := range []string{
		`read -r a b c d pgrp sid x </proc/$$/stat; [ $a = $pgrp ] && [ $a = $sid ] && echo leads; echo $d`,
		`ls /proc/self/fd; for n in 0 1 2; do readlink /proc/self/fd/$n; grep flags /proc/self/fdinfo/$n; done`, `cat /proc/self/limits`, `umask; ulimit -a`, `grep -E '^(Sig[BIC]|Shd|Uid|Gid|Groups|Cap|Seccomp|NoNew)' /proc/self/status`,
		`tr '\0' '\n' </proc/self/environ`, `cat /proc/self/oom_score_adj /proc/self/cgroup`, `ls -l /proc/self/exe; trap`,
		`kill -KILL $$`, `kill -TERM $$`, `kill -PIPE $$`, `kill -34 $$`, `kill -SEGV $$`, `kill -HUP $$`, `yes | head -c 300000; echo done >&2`,
		`echo out; echo err >&2; exit 3`, `sleep 600 & exit 5`, `exec >&- 2>&-; exit 6`, `exec >/dev/null 2>&1; exit 7`, `cat; exit 8`, `exec <&-; exit 9`, `head -c 200000 /dev/zero; head -c 200000 /dev/zero >&2`,
	} {
		add(sh(script))
	}
	for _, stdin := range []string{"in", "\n", "exit 97\n", strings.Repeat("0123456789abcdef", 1<<16)} {
		for _, argv := range [][]string{{"cat"}, {"true"}, {"wc", "-c"}, {"./plain"}, {"no-such-program"}, {"sh"}} {
			add(remote.Command{Argv: argv, Stdin: []byte(stdin)})
		}
	}
	for _, script := range []string{"trap '' TERM; while :; do sleep 0.1; done", "setsid sleep 600 & sleep 600"} {
		cmd := sh(script)
		cmd.Timeout = 300 * time.Millisecond
		add(cmd)
	}
	word := strings.Repeat("x", 4096)
	for _, n := range []int{1, 16, 31, 32, 64} { // a word of 128 KiB is too long for Linux
		add(remote.Command{Argv: []string{"wc", "-c", strings.Repeat(word, n)}})
		add(remote.Command{Argv: append([]string{"sh", "-c", "echo $#"}, slices.Repeat([]string{word}, n)...)})
	}
	add(remote.Command{Argv: append([]string{"sh", "-c", "echo $#"}, make([]string, 4000)...)})
	return all
}

// visible is all that a caller can see of a command, but for numbers that no two have alike.
func visible(r result) string {
	var known *sallyport.Error
	code, started := "", ""
	if errors.As(r.err, &known) {
		code = string(known.Code)
		if known.Started != nil {
			started = fmt.Sprint(*known.Started)
		}
	}
	lines := strings.Split(r.stdout, "\n")
	slices.Sort(lines) // of an environment, whose order means nothing
	stdout := strings.Join(lines, "\n")
	out := regexp.MustCompile(`pipe:\[\d+\]|SALLYPORT_EXEC_ID=.*`).ReplaceAllString(stdout, "")
	if len(out) > 5000 {
		out = fmt.Sprint(out[:5000], len(out))
	}
	return fmt.Sprintf("%q %q end %d exit %d %s open %t survivors %+v bytes %d %d started %t, error %q %s", out, r.stderr, r.End, r.ExitCode, r.Signal,
		r.OutputOpen, r.Survivors, r.StdoutBytes, r.StderrBytes, r.started, code, started)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// answers to a request to start a program, of a host that doesn't start it.
var answers = map[string]struct {
	answer  func(req *ssh.Request, ch ssh.Channel, conn net.Conn)
	end     remote.End
	started bool
}{
	"the connection is cut": {func(_ *ssh.Request, _ ssh.Channel, conn net.Conn) { conn.Close() }, remote.Lost, true},
	"the session is closed": {func(_ *ssh.Request, ch ssh.Channel, _ net.Conn) { ch.Close() }, remote.Lost, true},
	"started and cut": {func(_ *ssh.Request, ch ssh.Channel, conn net.Conn) {
		_, _ = ch.SendRequest(sshhost.StartedRequest, false, ssh.Marshal(sshhost.Started{PID: 4242}))
		conn.Close()
	}, remote.Lost, true},
}

// A connection that breaks between the request and its answer has perhaps started the program:
// it is looked for, also where it was to have stdin, and is not started again.
func TestHostLost(t *testing.T) {
	for name, tt := range answers {
		for _, stdin := range []string{"", "in"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				var looks atomic.Int32
				e := &ender{direct: true, answer: tt.answer, take: func(ch ssh.Channel, _ net.Conn, mark string) {
					looks.Add(1)
					pretend(ch, mark, "g 0 0\nk 1\n.\n")
					ch.Close()
				}}
				cmd := command(&buffer{})
				cmd.Stdin = []byte(stdin)
				gates := 0
				cmd.Gate = func() error {
					if gates++; e.asked.Load() != 0 {
						t.Error("the program was asked for before it might start")
					}
					return nil
				}
				outcome, err := remote.Exec(t.Context(), e.start(t), cmd)
				if err != nil || outcome.End != tt.end || !outcome.Survivors.Known || looks.Load() == 0 || e.asked.Load() != 1 || gates != 1 {
					t.Errorf("got %+v, %v; looked %d times, asked %d times, %d gates", outcome, err, looks.Load(), e.asked.Load(), gates)
				}
				if remote.MayRetry(err) || remote.MayRetry(outcome.Cause) {
					t.Error("it may be run twice")
				}
			})
		}
	}
}

// A program that has ended before anybody looks at the answer has started, and ended.
func TestHostEndsAtOnce(t *testing.T) {
	e := &ender{direct: true, answer: func(req *ssh.Request, ch ssh.Channel, _ net.Conn) {
		_, _ = ch.SendRequest(sshhost.StartedRequest, false, ssh.Marshal(sshhost.Started{PID: 4242}))
		_ = req.Reply(true, nil)
		fmt.Fprint(ch, "out")
		_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{7}))
		ch.Close()
	}}
	s := e.start(t)
	for range 200 {
		sibling, err := s.Sibling(t.Context())
		must(t, err)
		var out buffer
		outcome, err := remote.Exec(t.Context(), sibling, command(&out))
		if err != nil || outcome.End != remote.Exited || outcome.ExitCode != 7 || out.String() != "out" {
			t.Fatalf("got %+v, %v, %q", outcome, err, out.String())
		}
	}
}

// A host that doesn't start a program is sent the command line, on the same session. A server
// that only calls itself one of ours is asked for nothing.
func TestHostLeavesItToTheShell(t *testing.T) {
	for _, direct := range []bool{true, false} {
		e := &ender{direct: direct, answer: func(req *ssh.Request, _ ssh.Channel, _ net.Conn) { _ = req.Reply(false, nil) }}
		e.take = func(ch ssh.Channel, _ net.Conn, mark string) {
			pretend(ch, mark, "by a shell")
			ch.Close()
		}
		var out buffer
		gates := 0
		cmd := command(&out)
		cmd.Gate = func() error { gates++; return nil }
		outcome, err := remote.Exec(t.Context(), e.start(t), cmd)
		want := map[bool]int32{true: 1}[direct]
		if err != nil || outcome.End != remote.Exited || out.String() != "by a shell" || gates != 1 || e.asked.Load() != want {
			t.Errorf("got %+v, %v, %q; asked %d times, %d gates", outcome, err, out.String(), e.asked.Load(), gates)
		}
	}
}
