package sshhost

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"

	_ "sallyport/test/apart"
)

// BenchmarkExecTrue is one command on a warm connection.
func BenchmarkExecTrue(b *testing.B) {
	client := newBench(b).dial(b)
	for b.Loop() {
		execTrue(b, client)
	}
}

// BenchmarkExecTrueParallel is the rate of one connection.
func BenchmarkExecTrueParallel(b *testing.B) {
	client := newBench(b).dial(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			execTrue(b, client)
		}
	})
}

func execTrue(b *testing.B, client *ssh.Client) {
	session, err := client.NewSession()
	if err != nil {
		b.Fatal(err)
	}
	if err := session.Run("exec /bin/true"); err != nil {
		b.Fatal(err)
	}
	session.Close()
}

// BenchmarkForkExec is the same without SSH: what BenchmarkExecTrue cannot go
// below.
func BenchmarkForkExec(b *testing.B) {
	for b.Loop() {
		if err := exec.Command("/bin/sh", "-c", "exec /bin/true").Run(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCat is the throughput of one command's output.
func BenchmarkCat(b *testing.B) {
	const size = 64 << 20
	bench := newBench(b)
	if err := os.WriteFile(filepath.Join(bench.home, "file"), make([]byte, size), 0o600); err != nil {
		b.Fatal(err)
	}
	client := bench.dial(b)
	b.SetBytes(size)
	for b.Loop() {
		session, err := client.NewSession()
		if err != nil {
			b.Fatal(err)
		}
		stdout, err := session.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		if err := session.Start("exec cat file"); err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, stdout); n != size || err != nil {
			b.Fatal(n, err)
		}
		if err := session.Wait(); err != nil {
			b.Fatal(err)
		}
	}
}
