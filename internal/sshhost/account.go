package sshhost

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// account is as whom commands run.
type account struct {
	user, home, shell string
}

// newAccount takes the fields that cfg sets from it, and the others from the machine.
func newAccount(cfg Config) (account, error) {
	a := account{user: cfg.User, home: cfg.Home, shell: cfg.Shell}
	if a.user == "" || a.home == "" || a.shell == "" {
		own, err := ownAccount()
		if err != nil {
			return account{}, fmt.Errorf("ssh host: find own account: %w", err)
		}
		a.user = cmp.Or(a.user, own.user)
		a.home = cmp.Or(a.home, own.home)
		a.shell = cmp.Or(a.shell, own.shell)
	}
	if !filepath.IsAbs(a.home) || !filepath.IsAbs(a.shell) {
		return account{}, fmt.Errorf("ssh host: home %q and shell %q must be absolute paths", a.home, a.shell)
	}
	if strings.ContainsRune(a.user+a.home+a.shell, 0) {
		return account{}, fmt.Errorf("ssh host: user %q, home %q or shell %q holds a NUL", a.user, a.home, a.shell)
	}
	return a, nil
}

// ownAccount is the account of this process's uid. Where /etc/passwd does not
// list it, as in many containers and on macOS, the shell is /bin/sh.
func ownAccount() (account, error) {
	if file, err := os.Open("/etc/passwd"); err == nil {
		defer file.Close()
		if a, ok := findAccount(file, os.Getuid()); ok {
			return a, nil
		}
	}
	current, err := user.Current()
	if err != nil {
		return account{}, err
	}
	return account{user: current.Username, home: cmp.Or(current.HomeDir, "/"), shell: "/bin/sh"}, nil
}

// findAccount reads passwd(5). An empty home is /, an empty shell /bin/sh.
func findAccount(passwd io.Reader, uid int) (account, bool) {
	want := strconv.Itoa(uid)
	lines := bufio.NewScanner(passwd)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) != 7 || fields[2] != want || fields[0] == "" {
			continue
		}
		return account{
			user:  fields[0],
			home:  cmp.Or(fields[5], "/"),
			shell: cmp.Or(fields[6], "/bin/sh"),
		}, true
	}
	return account{}, false
}

// LoginShell returns the login shell of this process's account, by which a host
// runs commands unless its Config names another. Whether it can be run is not
// looked at.
func LoginShell() (string, error) {
	own, err := newAccount(Config{})
	return own.shell, err
}
