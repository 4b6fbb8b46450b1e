package redact

// shells read a script from the word after their -c.
var shells = setOf("sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "fish", "tcsh", "csh", "rbash", "su",
	"runuser", "script")

// wrappers run the program that follows their options; of those the letters
// take a value.
var wrappers = map[string]string{
	"sudo": "ugpChrtTUDR", "doas": "uC", "env": "uCS", "timeout": "ks", "nice": "n", "ionice": "cnpPu",
	"xargs": "IdanLPsE", "nohup": "", "setsid": "", "stdbuf": "ioe", "time": "fo", "exec": "a", "command": "",
	"builtin": "", "eval": "", "chronic": "", "taskset": "", "chrt": "TPD", "busybox": "", "sshpass": "fdpP",
	"watch": "nq", "strace": "eopsuaEIObPS", "ltrace": "eopsua", "caffeinate": "tw", "unbuffer": "", "pkexec": "",
}

// looseWrappers run a program that follows options and arguments of their own.
var looseWrappers = setOf("docker", "docker-compose", "podman", "nerdctl", "kubectl", "oc", "k3s", "crictl",
	"lxc", "incus", "ssh", "mosh", "autossh", "chroot", "nsenter", "unshare", "systemd-run", "systemd-nspawn",
	"machinectl", "flock", "parallel", "find", "fd", "gosu", "su-exec", "chpst", "s6-setuidgid", "setpriv",
	"setuidgid", "tini", "dumb-init", "catatonit", "firejail", "bwrap", "proot", "fakeroot", "fakechroot",
	"xvfb-run", "proxychains", "proxychains4", "torsocks", "faketime", "screen", "tmux", "expect", "op",
	"doppler", "aws-vault", "chamber", "direnv", "dotenv", "envdir", "envconsul", "with-contenv", "npx",
	"entr", "retry", "hyperfine", "toybox", "apptainer", "singularity", "srun", "mpirun", "at", "batch",
	"perf", "valgrind", "gdb", "rr", "cgexec", "numactl", "prlimit", "softlimit", "start-stop-daemon",
	"daemonize", "supervise", "runuser", "vagrant", "multipass", "wsl", "flatpak-spawn", "toolbox", "distrobox")

// scriptRunners hand their arguments to a shell.
var scriptRunners = setOf("ssh", "mosh", "autossh", "eval", "watch", "parallel", "hyperfine", "xargs", "tmux",
	"screen", "retry")

// printers print their arguments.
var printers = setOf("echo", "printf", "yes")

// secretReaders read a secret from their standard input.
var secretReaders = setOf("chpasswd", "passwd", "cryptsetup", "su", "smbpasswd")
