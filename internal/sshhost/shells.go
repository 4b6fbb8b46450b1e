package sshhost

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// shells are the two shells through which a command line comes to its program: the account's
// login shell, and /bin/sh.
type shells struct {
	login, sh shell
	// changed tells that the configuration adds variables, which may mean something to a
	// shell.
	changed bool
}

func newShells(a account, extra []string) *shells {
	return &shells{login: shell{path: a.shell}, sh: shell{path: "/bin/sh"}, changed: len(extra) > 0}
}

// level returns what the shells add to the environment beside PWD and OLDPWD, and whether they
// are known to do nothing else before they become the program: to read no file, to print
// nothing. zsh, fish and tcsh read files of the user's for a command line too; bash called by
// another name is another shell (rbash).
func (s *shells) level() (added []string, ok bool) {
	if s.changed || !slices.Contains([]string{"sh", "dash", "ash", "bash"}, filepath.Base(s.login.path)) {
		return nil, false
	}
	login, sh := s.login.kind(), s.sh.kind()
	switch {
	case login == "" || sh == "":
		return nil, false
	case login == bash || sh == bash: // counts up when it starts, and down when it becomes a program
		return []string{"SHLVL=0"}, true
	}
	return nil, true
}

// Kinds of shell, as their files are called.
const (
	bash = "bash"
	dash = "dash"
)

// shell is a file that is executed as a shell, and may be replaced at any time.
type shell struct {
	path string

	mu    sync.Mutex  // guards the fields below
	known os.FileInfo // of the file when it was looked at; nil before
	is    string
}

// kind returns bash or dash, or nothing for any other shell, and for one that can't be executed.
func (s *shell) kind() string {
	info, err := os.Stat(s.path)
	if err != nil || unix.Access(s.path, unix.X_OK) != nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || !os.SameFile(s.known, info) || !s.known.ModTime().Equal(info.ModTime()) || s.known.Size() != info.Size() {
		s.known, s.is = info, kindOf(s.path)
	}
	return s.is
}

// kindOf looks at the name of a shell's file behind all links, and whether it is a program: a
// script that is called bash may do anything.
func kindOf(path string) string {
	file, err := filepath.EvalSymlinks(path)
	if err != nil {
		return ""
	}
	kind := filepath.Base(file)
	if kind != bash && kind != dash || !isProgram(file) {
		return ""
	}
	return kind
}

// isProgram reports whether a file is an ELF.
func isProgram(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	const magic = "\x7fELF"
	var head [len(magic)]byte
	_, err = io.ReadFull(f, head[:])
	return err == nil && string(head[:]) == magic
}
