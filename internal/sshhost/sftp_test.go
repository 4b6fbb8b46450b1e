package sshhost

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"sallyport/internal/sftpserver"
)

// sftpArg makes the test's program the SFTP server of the hosts under test.
const sftpArg = "sftp-server"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == sftpArg {
		if err := sftpserver.Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// withSFTP is a host with the subsystem.
func withSFTP(t *testing.T) func(*Config) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return func(c *Config) { c.SFTP = []string{program, sftpArg} }
}

func sftpClient(t *testing.T, client *ssh.Client) *sftp.Client {
	t.Helper()
	c, err := sftp.NewClient(client)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestSFTP: what a client does, at home, with names of every byte.
func TestSFTP(t *testing.T) {
	b := newBench(t, withSFTP(t))
	c := sftpClient(t, b.dial(t))
	if wd, err := c.Getwd(); wd != b.home || err != nil {
		t.Fatalf("at %q, %v", wd, err)
	}
	name := "a b\n\xff'\\"
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	f, err := c.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := f.ReadFrom(bytes.NewReader(content)); n != int64(len(content)) || err != nil {
		t.Fatal(n, err)
	}
	if err := errors.Join(f.Chmod(0o640), f.Close(), c.PosixRename(name, name+"2"), c.Symlink(name+"2", "link")); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(b.home, name+"2")); !bytes.Equal(got, content) {
		t.Errorf("on the disk: %d bytes, %v", len(got), err)
	}
	r, err := c.Open("link")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); !bytes.Equal(got, content) {
		t.Errorf("read: %d bytes, %v", len(got), err)
	}
	found, err := c.ReadDir(".")
	if err != nil || len(found) != 2 || found[0].Name() != name+"2" || found[0].Mode() != 0o640 || found[1].Mode()&fs.ModeSymlink == 0 {
		t.Errorf("%v, %v", found, err)
	}
	if _, err := c.Stat("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
}

// TestSFTPIsApart: by /proc/self a client sees a process that has nothing of the host's:
// neither its memory and environment nor its open files.
func TestSFTPIsApart(t *testing.T) {
	const secret = "SALLYPORT_TEST_SECRET"
	t.Setenv(secret, "of the host")
	hosts, err := os.Create(filepath.Join(t.TempDir(), "hosts"))
	if err != nil {
		t.Fatal(err)
	}
	defer hosts.Close()
	c := sftpClient(t, newBench(t, withSFTP(t)).dial(t))
	pid, err := c.ReadLink("/proc/self")
	if own := fmt.Sprint(os.Getpid()); pid == own || err != nil {
		t.Fatalf("process %s, the host's is %s; %v", pid, own, err)
	}
	f, err := c.Open("/proc/self/environ")
	if err != nil {
		t.Fatal(err)
	}
	if environ, err := io.ReadAll(f); err != nil || strings.Contains(string(environ), secret) || !strings.Contains(string(environ), "USER=worker") {
		t.Errorf("%q, %v", environ, err)
	}
	open, err := c.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range open {
		to, err := c.ReadLink("/proc/self/fd/" + e.Name())
		if err == nil && (to == hosts.Name() || strings.HasPrefix(to, "socket:")) {
			t.Errorf("file %s is open: %s", e.Name(), to)
		}
	}
}

// TestSFTPBounds: as many files as one server opens, and no packet of a gigabyte.
func TestSFTPBounds(t *testing.T) {
	b := newBench(t, withSFTP(t))
	client := b.dial(t)
	write(t, b.home, "f", "x")
	c := sftpClient(t, client)
	opened := 0
	for ; opened < 1000; opened++ {
		if _, err := c.Open("f"); err != nil {
			break
		}
	}
	if opened < 200 || opened > 256 {
		t.Errorf("%d files", opened)
	}
	for _, packet := range []string{"\x40\x00\x00\x00", "\x00\x00\x00\x01\xc9", "\x00\x00\x00\x00", "SSH-2.0-x\r\n"} {
		channel, requests := rawSession(t, client)
		subsystem(t, channel, "sftp", true)
		if _, err := io.WriteString(channel, packet); err != nil {
			t.Fatal(err)
		}
		channel.CloseWrite()
		if request := <-requests; request == nil || request.Type != "exit-status" {
			t.Errorf("%q: %+v", packet, request)
		}
		if request, open := <-requests; open {
			t.Errorf("%q: %+v instead of the channel's end", packet, request)
		}
	}
}

// TestSFTPEnds: the server's process ends with its channel, its connection and the host,
// also while it waits in a system call.
func TestSFTPEnds(t *testing.T) {
	for name, end := range map[string]func(*bench, *ssh.Client, ssh.Channel){
		"channel":    func(_ *bench, _ *ssh.Client, channel ssh.Channel) { channel.Close() },
		"connection": func(_ *bench, client *ssh.Client, _ ssh.Channel) { client.Close() },
		"host":       func(b *bench, _ *ssh.Client, _ ssh.Channel) { b.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, withSFTP(t))
			fifo := mkfifo(t, b.home)
			client := b.dial(t)
			channel, _ := rawSession(t, client)
			subsystem(t, channel, "sftp", true)
			send(t, channel, 1, struct{ Version uint32 }{3})
			send(t, channel, 3, struct {
				ID           uint32
				Path         string
				Flags, Attrs uint32
			}{1, fifo, 1, 0}) // OPEN, for reading: nobody writes
			readPacket(t, channel) // VERSION
			end(b, client, channel)
			eventually(t, "the process to be reaped", func() bool { return b.running() == 0 })
		})
	}
}

// TestSubsystems: without a server there is none, and never another.
func TestSubsystems(t *testing.T) {
	for _, name := range []string{"", "netconf", "sftp\x00", "SFTP"} {
		channel, _ := rawSession(t, newBench(t, withSFTP(t)).dial(t))
		subsystem(t, channel, name, false)
	}
	for _, argv := range [][]string{nil, {"/o'brien/sallyport"}, {"/a\\b"}, {"/a", "b\nc"}} {
		channel, _ := rawSession(t, newBench(t, func(c *Config) { c.SFTP = argv }).dial(t))
		subsystem(t, channel, "sftp", false)
		start(t, channel, "true") // the session can go on
	}
}

// TestOpenSSHSFTP: OpenSSH's own client.
func TestOpenSSHSFTP(t *testing.T) {
	program := installed(t, "sftp")
	dir := t.TempDir()
	key := writeKey(t, dir)
	b := newBench(t, withSFTP(t), func(c *Config) { c.AuthorizedKeys = []ssh.PublicKey{key} })
	content := strings.Repeat("content\n", 100_000)
	write(t, dir, "up", content)
	write(t, dir, "batch", "put -p up\nmkdir d\nrename up d/up\nln -s d/up link\nls -l d\nget link down\n")
	cmd := exec.Command(program, "-q", "-b", "batch", "-P", b.listen(t), "-i", "key", "-F", "none",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", b.User()+"@127.0.0.1")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "down")); string(got) != content {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// subsystem asks for one, and wants it or its refusal.
func subsystem(t *testing.T, channel ssh.Channel, name string, want bool) {
	t.Helper()
	if ok, err := channel.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{name})); ok != want || err != nil {
		t.Errorf("subsystem %q: %t, %v", name, ok, err)
	}
}

// send sends a packet of SFTP.
func send(t *testing.T, channel ssh.Channel, kind byte, fields any) {
	t.Helper()
	body := append([]byte{kind}, ssh.Marshal(fields)...)
	if _, err := channel.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)); err != nil {
		t.Fatal(err)
	}
}

func readPacket(t *testing.T, channel ssh.Channel) []byte {
	t.Helper()
	var length [4]byte
	if _, err := io.ReadFull(channel, length[:]); err != nil {
		t.Fatal(err)
	}
	packet := make([]byte, binary.BigEndian.Uint32(length[:]))
	if _, err := io.ReadFull(channel, packet); err != nil {
		t.Fatal(err)
	}
	return packet
}
