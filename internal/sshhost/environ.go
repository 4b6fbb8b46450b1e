package sshhost

import (
	"fmt"
	"slices"
	"strings"
)

const pathDefault = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environ makes the environment of commands. This process's own environment
// holds secrets, so only the listed variables are passed on.
type environ struct {
	passed []string // from this process: search path, locale, time zone
	fixed  []string // the account, and what the configuration adds
	whole  []string // both: for a session that asked for nothing
}

// newEnviron picks from own, this process's environment. extra stands above
// everything else.
func newEnviron(a account, own, extra []string) (environ, error) {
	for _, entry := range extra {
		name, _, ok := strings.Cut(entry, "=")
		if !ok || name == "" || strings.ContainsRune(entry, 0) {
			return environ{}, fmt.Errorf("ssh host: the environment's variable %q is not NAME=value", name)
		}
	}
	passed := []string{"PATH=" + pathDefault}
	for _, entry := range own {
		if name, value, _ := strings.Cut(entry, "="); passes(name) && value != "" {
			passed = overlay(passed, []string{entry})
		}
	}
	fixed := overlay([]string{
		"HOME=" + a.home,
		"USER=" + a.user,
		"LOGNAME=" + a.user,
		"SHELL=" + a.shell,
	}, extra)
	return environ{passed: passed, fixed: fixed, whole: overlay(passed, fixed)}, nil
}

// with returns the environment of a command whose client asked for variables.
// The caller does not change it.
func (e environ) with(asked []string) []string {
	if len(asked) == 0 {
		return e.whole
	}
	return overlay(overlay(e.passed, asked), e.fixed)
}

func passes(name string) bool {
	return name == "PATH" || name == "TZ" || isLocale(name)
}

// isLocale tells whether name is LANG or LC_*: what sshd_config accepts from
// clients on most systems.
func isLocale(name string) bool {
	if name == "LANG" {
		return true
	}
	category, ok := strings.CutPrefix(name, "LC_")
	return ok && !strings.ContainsFunc(category, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

// overlay returns a copy of base in which the variables of over are set.
func overlay(base, over []string) []string {
	all := slices.Clone(base)
	for _, entry := range over {
		name, _, _ := strings.Cut(entry, "=")
		same := func(e string) bool { return strings.HasPrefix(e, name+"=") }
		if i := slices.IndexFunc(all, same); i >= 0 {
			all[i] = entry
		} else {
			all = append(all, entry)
		}
	}
	return all
}
