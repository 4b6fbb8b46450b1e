package known

import (
	"strings"
	"sync"
)

var shells = setOf("sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "fish", "tcsh", "csh", "rbash", "rksh",
	"lksh", "pdksh", "yash", "posh", "osh", "oksh", "loksh", "bosh", "hush")

var oddShells = setOf("fish", "tcsh", "csh", "cmd", "yash")

var wrappers = map[string]string{
	"sudo": "ugpChrtTUDR", "doas": "uC", "env": "uCS", "timeout": "ks", "nice": "n", "ionice": "cnpPu",
	"xargs": "IdanLPsE", "nohup": "", "setsid": "", "stdbuf": "ioe", "time": "fo", "exec": "a", "command": "",
	"builtin": "", "eval": "", "chronic": "", "taskset": "", "chrt": "TPD", "busybox": "", "sshpass": "fdpP",
	"watch": "nq", "strace": "eopsuaEIObPS", "ltrace": "eopsua", "caffeinate": "tw", "unbuffer": "", "pkexec": "",
	"toybox": "", "noglob": "", "nocorrect": "", "setarch": "", "systemd-inhibit": "",
}

var looseWrappers = setOf("docker", "docker-compose", "podman", "nerdctl", "kubectl", "oc", "k3s", "crictl", "ctr",
	"lxc", "incus", "ssh", "mosh", "autossh", "chroot", "nsenter", "unshare", "systemd-run", "systemd-nspawn",
	"machinectl", "flock", "parallel", "find", "fd", "gosu", "su-exec", "chpst", "s6-setuidgid", "setpriv",
	"setuidgid", "tini", "dumb-init", "catatonit", "firejail", "bwrap", "proot", "fakeroot", "fakechroot",
	"xvfb-run", "proxychains", "proxychains4", "torsocks", "faketime", "screen", "tmux", "expect", "op",
	"doppler", "aws-vault", "chamber", "direnv", "dotenv", "envdir", "envconsul", "with-contenv", "npx",
	"entr", "retry", "hyperfine", "apptainer", "singularity", "srun", "mpirun", "at", "batch",
	"perf", "valgrind", "gdb", "rr", "cgexec", "numactl", "prlimit", "softlimit", "start-stop-daemon",
	"daemonize", "supervise", "runuser", "vagrant", "multipass", "wsl", "flatpak-spawn", "toolbox", "distrobox",
	"fly", "heroku", "railway", "infisical", "poetry", "pipenv", "bundle", "uv", "compose", "vault")

var scriptRunners = setOf("ssh", "mosh", "autossh", "eval", "watch", "parallel", "hyperfine", "tmux", "screen",
	"retry", "rsh", "pdsh", "clush", "pssh", "dsh")

var interpreters = map[string]string{
	"python": "c", "pypy": "c", "perl": "eE", "ruby": "e", "node": "ep", "nodejs": "ep", "deno": "", "bun": "ep",
	"php": "rBRE", "lua": "e", "luajit": "e", "R": "e", "r": "e", "rscript": "e", "julia": "eE", "osascript": "e",
	"pwsh": "c", "powershell": "c", "expect": "c", "tclsh": "c", "groovy": "e", "scala": "e", "ghc": "e",
	"guile": "c", "elixir": "e", "erl": "", "nu": "c", "xonsh": "c", "elvish": "c", "sqlite": "", "duckdb": "c",
	"awk": "", "gawk": "", "mawk": "", "nawk": "", "emacs": "", "vim": "c", "nvim": "c", "ipython": "c", "jq": "",
	"psql": "c", "mysql": "e", "mariadb": "e", "cqlsh": "e", "sqlcmd": "Qq", "mongo": "", "mongosh": "",
	"clickhouse-client": "q", "mysqlsh": "e", "gdb": "", "dc": "e", "bc": "", "irb": "e", "swift": "e", "raku": "e",
}

var printers = setOf("echo", "printf", "yes", "print")

var writers = setOf("cat", "tee", "dd", "sponge")

var secretReaders = setOf("chpasswd", "passwd", "cryptsetup", "su", "smbpasswd", "kinit", "kpasswd", "pass", "gopass",
	"saslpasswd2", "secret-tool", "keepassxc-cli", "realm", "adcli", "opasswd", "newusers", "chgpasswd", "mkpasswd",
	"elasticsearch-keystore", "kibana-keystore", "logstash-keystore", "opensearch-keystore", "zfs", "ykman", "vncpasswd")

var loginReaders = setOf("chpasswd", "newusers", "chgpasswd")

// IsKeyword reports whether a word of a shell may stand before a program.
func IsKeyword(word string) bool { return keywords[word] }

var keywords = setOf("if", "then", "else", "elif", "while", "until", "do", "!", "{", "}", "export",
	"local", "declare", "readonly", "typeset", "set")

// IsScheme reports whether a word, in small letters, may stand before the
// credentials of an Authorization header.
func IsScheme(word string) bool { return schemes[word] }

var schemes = setOf("bearer", "basic", "digest", "token", "negotiate", "ntlm", "apikey", "hawk", "oauth",
	"bot", "key", "aws4-hmac-sha256", "mutual", "scram-sha-256", "privatetoken", "genie", "genie-key")

// IsPlainUser reports whether the user of a URL is no token.
func IsPlainUser(user string) bool { return plainUsers[user] }

var plainUsers = setOf("", "git", "root", "admin", "user", "anonymous", "ftp", "oauth2", "postgres",
	"guest", "hg", "svn", "ubuntu", "www-data")

// A Program is what is known of a program by its name.
type Program struct {
	// Usage is nil where nothing is known of the arguments.
	Usage *Usage
	// Shells read a script from the word after their -c; odd ones have a quoting of
	// their own.
	IsShell, IsOddShell bool
	// Wrappers run the program after their options; of those, Values are the letters
	// of such as have a value. Loose ones run another that follows options and
	// arguments of their own.
	IsWrapper, IsLooseWrapper bool
	Values                    string
	// Script runners hand their arguments to a shell.
	IsScriptRunner bool
	// Interpreters have their code after flags with one of the letters; "" is in any
	// argument with a blank.
	IsInterpreter bool
	CodeFlags     string
	// Printers print their arguments. Writers do nothing with what they read but
	// write it.
	IsPrinter, IsWriter bool
	// ReadsSecret: the standard input is a secret. ReadsLogins: it is lines of
	// user:password.
	ReadsSecret, ReadsLogins bool
}

// Lookup returns what is known of the program of that name, nil if that is nothing.
// The name of an interpreter may end in its version.
func Lookup(name string) *Program {
	all := lookups()
	if p := all[name]; p != nil || name == "" || !isDigit(name[len(name)-1]) {
		return p
	}
	if p := all[strings.TrimRight(name, "0123456789.-")]; p != nil && p.IsInterpreter {
		return p
	}
	return nil
}

// Runs reports whether a program itself, or what it runs, is known of.
func (p *Program) Runs() bool {
	return p != nil && (p.Usage != nil || p.IsShell || p.IsWrapper || p.IsLooseWrapper || p.IsScriptRunner || p.IsInterpreter)
}

// lookups is built when it is first asked for.
var lookups = sync.OnceValue(func() map[string]*Program {
	// The text is part of the program, and a test reads it for faults.
	usages, _ := parseUsages(programsText)
	all := make(map[string]*Program)
	of := func(name string) *Program {
		if all[name] == nil {
			all[name] = &Program{}
		}
		return all[name]
	}
	for name, u := range usages {
		of(name).Usage = u
	}
	for name, values := range wrappers {
		of(name).IsWrapper, of(name).Values = true, values
	}
	for name, flags := range interpreters {
		of(name).IsInterpreter, of(name).CodeFlags = true, flags
	}
	for _, list := range []struct {
		names map[string]bool
		field func(p *Program) *bool
	}{
		{shells, func(p *Program) *bool { return &p.IsShell }},
		{oddShells, func(p *Program) *bool { return &p.IsOddShell }},
		{looseWrappers, func(p *Program) *bool { return &p.IsLooseWrapper }},
		{scriptRunners, func(p *Program) *bool { return &p.IsScriptRunner }},
		{printers, func(p *Program) *bool { return &p.IsPrinter }},
		{writers, func(p *Program) *bool { return &p.IsWriter }},
		{secretReaders, func(p *Program) *bool { return &p.ReadsSecret }},
		{loginReaders, func(p *Program) *bool { return &p.ReadsLogins }},
	} {
		for name := range list.names {
			*list.field(of(name)) = true
		}
	}
	return all
})
