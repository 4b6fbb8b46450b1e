//go:build linux

package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/internal/config"
	"sallyport/internal/httpapi"
	"sallyport/internal/server"
	"sallyport/test/stack"
)

// childVariable holds a childSpec in JSON, in the environment of a test's program
// that is to be a server.
const childVariable = "FAULTS_CHILD"

// startTimeMax is how long a server may take to start. Under the race detector,
// on a busy machine, that is not quick.
const startTimeMax = 30 * time.Second

type childSpec struct {
	Flags, Env map[string]string

	ReadyFile string
	// Humble is without root's way around permissions.
	Humble bool
	// OpenFiles is the limit on open files; 0 is the test's own.
	OpenFiles uint64
	Times     httpapi.Times
}

// runChild is the child's main: a server as dev, until SIGTERM.
func runChild(spec string) int {
	var s childSpec
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if s.Humble {
		fmt.Fprintln(os.Stderr, humble(s)) // it doesn't return when it succeeds
		return 2
	}
	if s.OpenFiles > 0 {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: s.OpenFiles, Max: s.OpenFiles}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	// A write beyond a limit of the file's size is to fail, as on a full disk, and
	// not to end the process.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGXFSZ)
	loaded, err := config.Load(config.LoadOptions{
		Mode: config.ModeDev, Flags: s.Flags, Env: func(name string) (string, bool) { v, ok := s.Env[name]; return v, ok },
	})
	if err == nil {
		err = server.Run(ctx, loaded.Config, server.RunOptions{ReadyFile: s.ReadyFile, LogWriter: os.Stderr, Times: s.Times})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// humble gives up root's way around permissions and runs the program anew: what
// one thread gives up is all threads' loss only then.
func humble(s childSpec) error {
	runtime.LockOSThread()
	for _, capability := range []uintptr{unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH} {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil {
			return err
		}
	}
	s.Humble = false
	spec, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.Setenv(childVariable, string(spec)); err != nil {
		return err
	}
	return syscall.Exec("/proc/self/exe", os.Args, os.Environ())
}

// child is a server in a process of its own. Its Stack knows no Stop.
type child struct {
	*stack.Stack
	cmd     *exec.Cmd
	ready   string // its ready file
	logFile string
	ended   chan struct{} // closed when the process is gone
	env     []string      // what its environment has besides the test's
}

type childOptions struct {
	// dataDir is made when it is empty.
	dataDir string
	flags   map[string]string
	// env is the environment, for keys that have no flag.
	env map[string]string
	// humble is for a server to which permissions apply, also where root runs it.
	humble bool
	// openFiles is the limit on open files; 0 is the test's own.
	openFiles uint64
	// processEnv is added to the environment of the process.
	processEnv []string
	// times are those of callers, where limits' are too long for a test.
	times httpapi.Times
}

// startChild starts a server and waits until it can serve. It is killed with its
// test at the latest.
func startChild(t testing.TB, o childOptions) *child {
	t.Helper()
	c := launchChild(t, o)
	await(t, startTimeMax, "the ready file", func() bool {
		select {
		case <-c.ended:
			log, _ := os.ReadFile(c.logFile)
			t.Fatalf("the server ended at its start:\n%s", log)
		default:
		}
		return c.readReady()
	})
	return c
}

// launchChild starts a server and doesn't wait.
func launchChild(t testing.TB, o childOptions) *child {
	t.Helper()
	if o.dataDir == "" {
		o.dataDir = filepath.Join(stack.MakeDataDir(t), "data")
	}
	own := t.TempDir()
	c := &child{
		Stack: &stack.Stack{DataDir: o.dataDir}, ended: make(chan struct{}),
		ready: filepath.Join(own, "ready"), logFile: filepath.Join(own, "log"), env: o.processEnv,
	}
	spec := childSpec{ReadyFile: c.ready, Humble: o.humble && os.Getuid() == 0, Env: o.env, OpenFiles: o.openFiles, Times: o.times, Flags: map[string]string{
		"listen": "127.0.0.1:0", "data_dir": o.dataDir, "drain_timeout": "1s",
	}}
	maps.Copy(spec.Flags, o.flags)
	c.run(t, spec)
	return c
}

// run starts the process.
func (c *child) run(t testing.TB, spec childSpec) {
	t.Helper()
	variable, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(c.logFile)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	c.cmd = exec.Command(program)
	c.cmd.Env = append(append(os.Environ(), c.env...), childVariable+"="+string(variable))
	c.cmd.Stdout, c.cmd.Stderr = log, log
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.ended)
		_ = c.cmd.Wait() // its state says how it ended
	}()
	t.Cleanup(func() {
		c.kill()
		if log := c.log(t); bytes.Contains(log, []byte("DATA RACE")) || bytes.Contains(log, []byte("goroutine ")) {
			t.Errorf("the server's log tells of a fault of its own:\n%s", log)
		}
	})
}

// readReady takes what the ready file tells, once it is there.
func (c *child) readReady() bool {
	body, err := os.ReadFile(c.ready)
	return err == nil && json.Unmarshal(body, &c.Ready) == nil
}

// pid is the process's number.
func (c *child) pid() int { return c.cmd.Process.Pid }

// kill ends the process as a power failure would, and waits for it.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // it may have ended
	<-c.ended
}

// terminate asks the process to end, and returns its exit code.
func (c *child) terminate(t testing.TB) int {
	t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.ended:
	case <-time.After(startTimeMax):
		t.Fatal("the server doesn't end")
	}
	return c.cmd.ProcessState.ExitCode()
}

// log is all that the process wrote.
func (c *child) log(t testing.TB) []byte {
	t.Helper()
	log, err := os.ReadFile(c.logFile)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func (c *child) database() string { return filepath.Join(c.DataDir, "sallyport.db") }
