package sshhost

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// TestBackgroundChild: the exit status comes when the command ends; the channel
// stays open while a child in the background holds the output.
func TestBackgroundChild(t *testing.T) {
	b := newBench(t)
	fifo := mkfifo(t, b.home)
	channel, requests := rawSession(t, b.dial(t))
	start(t, channel, "{ read x <fifo; echo late; } & exit 3")

	request := <-requests
	if request == nil || request.Type != "exit-status" || string(request.Payload) != "\x00\x00\x00\x03" {
		t.Fatalf("got %+v", request)
	}
	if err := os.WriteFile(fifo, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(channel); string(rest) != "late\n" || err != nil {
		t.Errorf("after the exit status: %q, %v", rest, err)
	}
	if request, open := <-requests; open {
		t.Errorf("got %+v instead of the channel's end", request)
	}
}

// TestBackgroundChildLeft: a client that closes the channel is rid of a child
// that holds the output, and the child goes on.
func TestBackgroundChildLeft(t *testing.T) {
	b := newBench(t)
	fifo := mkfifo(t, b.home)
	client := b.dial(t)
	channel, requests := rawSession(t, client)
	start(t, channel, "{ read x <fifo; echo $x >went-on; } & exit 0")
	if request := <-requests; request == nil || request.Type != "exit-status" {
		t.Fatalf("got %+v", request)
	}
	channel.Close()
	if request, open := <-requests; open {
		t.Errorf("got %+v instead of the channel's end", request)
	}
	if err := os.WriteFile(fifo, []byte("yes\n"), 0); err != nil {
		t.Fatal(err)
	}
	awaitFile(t, filepath.Join(b.home, "went-on"), "yes\n")
}

// TestEarlyEndOfOutput: a command that closes its output and goes on.
func TestEarlyEndOfOutput(t *testing.T) {
	b := newBench(t)
	fifo := mkfifo(t, b.home)
	channel, requests := rawSession(t, b.dial(t))
	start(t, channel, "exec >&- 2>&-; read code <fifo; exit $code")
	if rest, err := io.ReadAll(channel); len(rest) != 0 || err != nil {
		t.Fatalf("%q, %v", rest, err)
	}
	if err := os.WriteFile(fifo, []byte("5\n"), 0); err != nil {
		t.Fatal(err)
	}
	if request := <-requests; request == nil || string(request.Payload) != "\x00\x00\x00\x05" {
		t.Errorf("got %+v", request)
	}
}

// TestClientGone: the command's stdin ends and its output breaks; it is not
// killed, and nothing of it is left in the host when it has ended.
func TestClientGone(t *testing.T) {
	ways := map[string]func(*ssh.Client, ssh.Channel){
		"channel":    func(_ *ssh.Client, channel ssh.Channel) { channel.Close() },
		"connection": func(client *ssh.Client, _ ssh.Channel) { client.Close() },
	}
	for name, hangUp := range ways {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			client := b.dial(t)
			channel, _ := rawSession(t, client)
			start(t, channel, "echo up; cat >/dev/null; yes; echo $? >status")
			if up := readLine(t, channel); up != "up" {
				t.Fatal(up)
			}
			hangUp(client, channel)
			awaitFile(t, filepath.Join(b.home, "status"), "141\n") // SIGPIPE
			eventually(t, "the process to be reaped", func() bool { return b.running() == 0 })
		})
	}
}

func (b *bench) running() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.processes)
}

// TestInputThenClose: what the client sent before it closed the channel reaches
// the command whole.
func TestInputThenClose(t *testing.T) {
	b := newBench(t)
	channel, _ := rawSession(t, b.dial(t))
	start(t, channel, "cat >part; mv part whole")
	in := strings.Repeat("0123456789abcdef", 1<<16) // more than a pipe takes
	if _, err := io.WriteString(channel, in); err != nil {
		t.Fatal(err)
	}
	channel.CloseWrite()
	channel.Close()
	awaitFile(t, filepath.Join(b.home, "whole"), in)
}

// TestInputUnread: input that nobody reads holds up neither the connection nor
// the end of the session.
func TestInputUnread(t *testing.T) {
	b := newBench(t)
	client := b.dial(t)
	fifo := mkfifo(t, b.home)
	much := make([]byte, 1<<20) // more than a pipe takes, less than the window

	t.Run("never", func(t *testing.T) {
		channel, _ := rawSession(t, client)
		start(t, channel, "exec sleep 1000")
		if _, err := channel.Write(much); err != nil {
			t.Fatal(err)
		}
		if got := run(t, client, "echo other", ""); got.stdout != "other\n" {
			t.Errorf("another session: %+v", got)
		}
		channel.Close()
	})
	t.Run("ends early", func(t *testing.T) {
		if got := run(t, client, "exit 4", string(make([]byte, 16<<20))); got.code != 4 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("closed early", func(t *testing.T) {
		channel, requests := rawSession(t, client)
		start(t, channel, "exec <&-; echo up; read code <fifo; exit $code")
		readLine(t, channel)
		for range 16 {
			if _, err := channel.Write(much); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(fifo, []byte("5\n"), 0); err != nil {
			t.Fatal(err)
		}
		if request := <-requests; request == nil || string(request.Payload) != "\x00\x00\x00\x05" {
			t.Errorf("got %+v", request)
		}
		if request, open := <-requests; open {
			t.Errorf("got %+v instead of the channel's end", request)
		}
	})
	t.Run("background", func(t *testing.T) {
		channel, requests := rawSession(t, client)
		start(t, channel, "exec 3<&0; sleep 1000 <&3 >/dev/null 2>&1 & echo $!; exit 6")
		child, err := strconv.Atoi(readLine(t, channel))
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Kill(child, syscall.SIGKILL)
		if _, err := channel.Write(much); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		if request := <-requests; request == nil || string(request.Payload) != "\x00\x00\x00\x06" {
			t.Errorf("got %+v", request)
		}
		if request, open := <-requests; open {
			t.Errorf("got %+v instead of the channel's end", request)
		}
	})
}

// TestOutputUnread: a client that does not read stops its command, and nothing
// else.
func TestOutputUnread(t *testing.T) {
	client := newBench(t).dial(t)
	channel, requests := rawSession(t, client)
	start(t, channel, "yes & yes >&2")
	if got := run(t, client, "echo other", ""); got.stdout != "other\n" {
		t.Errorf("another session: %+v", got)
	}
	channel.Close()
	if request, open := <-requests; open {
		t.Errorf("got %+v instead of the channel's end", request)
	}
}

// TestEndOfWrite: OpenSSH's client, and no other, hears that input is refused,
// once: when the command closes its stdin or ends, unless the input had ended.
func TestEndOfWrite(t *testing.T) {
	const openSSH, other = "SSH-2.0-OpenSSH_9.2p1", "SSH-2.0-Other"
	tests := []struct {
		version, line string
		endInput      bool
		want          []string
	}{
		{openSSH, "exec <&-; echo up; read x <fifo", false, []string{"eow@openssh.com", "exit-status"}},
		{openSSH, "echo up; read x <fifo", false, []string{"exit-status", "eow@openssh.com"}},
		{openSSH, "cat; echo up; read x <fifo", true, []string{"exit-status"}},
		{other, "exec <&-; echo up; read x <fifo", false, []string{"exit-status"}},
	}
	for _, tt := range tests {
		t.Run(tt.version+" "+tt.line, func(t *testing.T) {
			b := newBench(t)
			fifo := mkfifo(t, b.home)
			client, err := b.login(t, &ssh.ClientConfig{ClientVersion: tt.version})
			if err != nil {
				t.Fatal(err)
			}
			channel, requests := rawSession(t, client)
			start(t, channel, tt.line)
			if tt.endInput {
				channel.CloseWrite()
			}
			readLine(t, channel)
			if !tt.endInput {
				io.WriteString(channel, "input")
			}
			var got []string
			if tt.want[0] == "eow@openssh.com" {
				got = append(got, (<-requests).Type) // while the command runs
			}
			if err := os.WriteFile(fifo, []byte("go\n"), 0); err != nil {
				t.Fatal(err)
			}
			for request := range requests {
				got = append(got, request.Type)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func mkfifo(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// awaitFile waits until a file has the content.
func awaitFile(t *testing.T, path, content string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%.20q in %s", content, filepath.Base(path)), func() bool {
		got, _ := os.ReadFile(path)
		return string(got) == content
	})
}
