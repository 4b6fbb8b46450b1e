package sshd

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Shells are the login shells that people have, by the names of Options.LoginShell.
func Shells() []string { return []string{"sh", "bash", "dash", "zsh", "fish", "tcsh"} }

func shellPath(name string) string {
	switch {
	case name == "":
		return "/bin/sh"
	case strings.Contains(name, "/"):
		return name
	}
	for _, dir := range []string{"/bin", "/usr/bin"} {
		if path := filepath.Join(dir, name); exists(path) {
			return path
		}
	}
	return "/usr/bin/" + name
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// rcFile is what a login shell reads before it runs the command of an SSH
// session, which is neither a login nor at a terminal; sh and dash read nothing.
func rcFile(shell string) string {
	switch filepath.Base(shell) {
	case "bash":
		return ".bashrc" // when its parent is sshd
	case "zsh":
		return ".zshenv"
	case "fish":
		return ".config/fish/config.fish"
	case "tcsh":
		return ".tcshrc"
	}
	return ".profile"
}

func writeRC(home, shell, text string) error {
	if text == "" {
		return nil
	}
	path := filepath.Join(home, rcFile(shell))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make rc file: %w", err)
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// chown gives a tree to an account.
func chown(root string, uid, gid int) error {
	if os.Getuid() != 0 {
		return nil
	}
	return filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, gid)
	})
}

// makePrivsepDir makes the directory into which sshd locks its unprivileged half;
// on a system that has started sshd once it is there.
func makePrivsepDir() error {
	if os.Getuid() != 0 {
		return nil
	}
	return os.MkdirAll("/run/sshd", 0o755)
}
