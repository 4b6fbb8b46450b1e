package httpapi

import (
	"strings"

	"sallyport/client/sallyport"
)

// shellOwned are the variables that some shell on the way sets itself, or doesn't
// let others set: a value given for one would be lost, or end the shell.
const shellOwned = " BASH BASHOPTS BASHPID COMP_WORDBREAKS DIRSTACK EGID EPOCHREALTIME EPOCHSECONDS ERRNO EUID FUNCNAME GID " +
	"GROUPS HISTCMD LINENO OPTARG OPTERR OPTIND PIPESTATUS PPID RANDOM SECONDS SHELLOPTS SHLVL SRANDOM UID _ "

// checkEnvName checks the name of a variable that a caller wants to set.
func checkEnvName(name string) error {
	switch {
	case !isEnvName(name):
		return sallyport.Errorf(sallyport.CodeInvalidEnv, "%.100q can't name a variable: letters, digits and _ only, and no digit first", name)
	case strings.HasPrefix(name, "SALLYPORT_"):
		return sallyport.Errorf(sallyport.CodeInvalidEnv, "%.100s can't be set: names that begin with SALLYPORT_ are Sallyport's own", name)
	case strings.HasPrefix(name, "BASH_") || strings.Contains(shellOwned, " "+name+" "):
		return sallyport.Errorf(sallyport.CodeInvalidEnv, "%.100s can't be set: shells own it", name)
	}
	return nil
}

func isEnvName(s string) bool {
	if s == "" || (s[0] >= '0' && s[0] <= '9') {
		return false
	}
	for _, c := range []byte(s) {
		if c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}
