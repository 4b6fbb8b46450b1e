package remote

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/limits"
)

// goal is a set of processes to find on a machine, and to end: a process group, whatever
// has one of ids in its environment, what has left the group but not its session, and
// the descendants of all of those.
type goal struct {
	// group is a process group; empty where none is known.
	group string
	// reaped reports that the group's leader has been reaped: a process that bears its
	// number is a stranger.
	reaped bool
	// hangUp sends HUP before TERM: an interactive shell ignores TERM.
	hangUp bool
	ids    []string
	// since is when the command started, as far as we know.
	since time.Time
	// strays are the processes found outside of the group so far, as PID:START: a PID
	// can be given to a new process, which has another start time.
	strays []string
}

// sight is what one look at a machine's processes found of a goal.
type sight struct {
	// known reports that the machine shows the processes of all users.
	known bool
	// group counts the living members of the group. On a machine that doesn't show its
	// processes it is 1 where the group exists.
	group int
	// strays are the living processes outside of the group, as PID:START.
	strays []string
	// partial reports that the list is not whole, or that processes exist which may be the
	// command's, without any sign of it.
	partial bool
}

func (s sight) count() int { return s.group + len(s.strays) }

// The scripts take nothing on the machine for granted but a POSIX shell: no /dev/null
// (a stream is closed instead), no /proc, no cat, grep or sleep. They say kill -TERM -PGID
// and not -- -PGID, which dash and busybox refuse.

// lookScript defines l, a look at all processes. It reads G (" PGID=GOAL …", a goal being
// a number), M (strays known already, " PID:START=GOAL …") and A (the start time from which
// on a process may be the command's), and sets
//   - n0, n1, …: how many living members the group of goal 0, 1, … has;
//   - P: the living strays, "PID:START=GOAL …";
//   - S: the start times of suspects: orphans that nearly have no environment. A process
//     that left its session, lost its parent and cleared its environment looks like this;
//     one whose command line is gone by then is ending;
//   - K: 1 where the machine shows the processes of all users;
//   - o: 1 where a group has a process of another user, such as sudo's, which the login
//     user can neither end nor look into.
//
// kill's result says nothing about a group that has another user's process, so each process
// is looked at. A process's name may hold a newline or a parenthesis: what counts stands
// behind the last one. cat reads in blocks, where read takes a byte a call.
const lookScript = `l() { IFS=" $N"; x=$(cat /proc/[0-9]*/stat); if [ -z "$x" ]; then for f in /proc/[0-9]*/stat; do IFS= read -r y <$f && x=$x$y$N; done; fi; ` +
	`h; K=; if [ -r /proc/1/stat ]; then K=1; fi; ` +
	`T=' '; L=; P=; S=; o=; IFS=$N; set -f; for y in $x; do IFS=' '; set -- ${y%% *} ${y##*') '}; case $2 in [ZX]) continue;; esac; ` +
	`case $G in *" $4="*) t=${G#*" $4="}; t=${t%% *}; eval "n$t=\$((n$t+1))"; [ -r /proc/$1/environ ] || o=1; T="$T$1=$t "; continue;; esac; t=; ` +
	`case $M in *" $1:${21}="*) t=${M#*" $1:${21}="}; t=${t%% *};; *) case $G in *" $5="*) t=${G#*" $5="}; t=${t%% *};; *) case $E in *" $1 "*) r $1 environ; i;; esac;; esac;; esac; ` +
	`if [ -n "$t" ]; then T="$T$1=$t "; P="$P$1:${21}=$t "; continue; fi; L="$L$1:${21}:$3 "; ` +
	`case $3:$y in 1:*'(sshd'*) ;; 1:*) if [ ${21} -ge $A ] ; then r $1 environ; case $y in *SALLYPORT_EXEC_ID=*) ;; *) if [ -r /proc/$1/environ ] && [ ${#y} -lt 48 ]; then r $1 cmdline; if [ -n "$y" ]; then S="$S${21} "; fi; fi;; esac; fi;; esac; done; ` +
	`IFS=' '; q=1; while [ -n "$q" ]; do q=; x=$L; L=; for y in $x; do case $T in *" ${y##*:}="*) t=${T#*" ${y##*:}="}; t=${t%% *}; T="$T${y%%:*}=$t "; P="$P${y%:*}=$t "; q=1;; *) L="$L$y ";; esac; done; done; ` +
	`set +f; } 2>&-; `

// searchScript defines h, which lists in E the processes that have one of the ids in
// their environment; r, which reads file $2 of process $1, environ or cmdline, into y; and i, which sets
// t to the goal whose id stands in y. grep without -z would stop at the first NUL byte where it
// is busybox's. Its own command line, which holds what it looks for, shows that it works.
func searchScript(goals []*goal) string {
	var patterns, branches strings.Builder
	for n, g := range goals {
		for _, id := range g.ids {
			patterns.WriteString(" -e SALLYPORT_EXEC_ID=")
			quote(&patterns, id)
			branches.WriteString("*SALLYPORT_EXEC_ID=")
			quote(&branches, id)
			fmt.Fprintf(&branches, "*) t=%d;; ", n)
		}
	}
	return `r() { y=; while IFS= read -r z || [ -n "$z" ]; do y=$y$z; done </proc/$1/$2; } 2>&-; ` +
		`i() { t=; case $y in ` + branches.String() + `esac; }; ` +
		`h() { E=' '; e=$(grep -lsxzF` + patterns.String() + ` /proc/self/cmdline /proc/[0-9]*/environ); ` +
		`case $e in /proc/self/*) for f in $e; do f=${f#/proc/}; E="$E${f%/environ} "; done;; ` +
		`*) for f in /proc/[0-9]*/environ; do f=${f#/proc/}; f=${f%/environ}; r $f environ; i; if [ -n "$t" ]; then E="$E$f "; fi; done;; esac; } 2>&-; `
}

// killScript defines k, which sends signal $1 to the strays of goal $2 and to group $3.
const killScript = `k() { if [ -n "$3" ]; then kill -$1 -$3; fi; for q in $P; do case $q in *=$2) kill -$1 ${q%%:*};; esac; done; } 2>&-; `

// actScript looks at the processes of goals, prints what it found, and sends signal to
// what it found, or nothing if signal is empty. parseSights reads what it prints.
//
// Where a group holds a process of another user, all of it is done by root, if sudo asks
// for no password.
func actScript(goals []*goal, signal string, now time.Time) string {
	var b strings.Builder
	b.WriteString(`N=${IFS#??}; N=${N%"${N#?}"}; G=' '; `)
	oldest := now
	for n, g := range goals {
		writeGoal(&b, n, g)
		if g.since.Before(oldest) {
			oldest = g.since
		}
	}
	b.WriteString(searchScript(goals) + lookScript + killScript)
	fmt.Fprintf(&b, `u=0; v=00; { IFS=' .' read -r u v z </proc/uptime; } 2>&-; u=$((u*100+1$v-100)); A=$((u-%d)); l; `, ticks(now.Sub(oldest)))
	b.WriteString(`if [ -n "$o" ] && [ -z "$R" ] && sudo -n true >&- 2>&-; then exec sudo -n /bin/sh -c "R=1; Z=$Z; M=' '; $a"; fi; `)
	for n, g := range goals {
		if signal == "TERM" && g.hangUp {
			fmt.Fprintf(&b, `k HUP %d $g%d; `, n, n)
		}
		if signal != "" {
			fmt.Fprintf(&b, `k $Z %d $g%d; `, n, n)
		}
		fmt.Fprintf(&b, `if [ -z "$K" ] && [ -n "$g%[1]d" ] && kill -0 -$g%[1]d 2>&-; then n%[1]d=1; fi; echo g %[1]d $n%[1]d; `, n)
	}
	fmt.Fprintf(&b, `c=0; for q in $P; do c=$((c+1)); if [ $c -gt %d ]; then echo m; break; fi; echo s ${q##*=} ${q%%%%=*}; done; `, limits.StraysMax)
	b.WriteString(`c=0; for q in $S; do c=$((c+1)); if [ $c -gt 16 ]; then break; fi; echo x $((u-q)); done; echo k $K; echo .`)
	var whole strings.Builder
	fmt.Fprintf(&whole, `R=; M=' '; Z=%s; a=`, signal)
	quote(&whole, b.String())
	whole.WriteString(`; eval "$a"`)
	if signal == "TERM" {
		whole.WriteString(killClock)
	}
	return whole.String()
}

// killClock leaves a process behind, where something was found, that sends KILL to what is left
// two seconds later. The server does so too, but its connection may have broken by then.
const killClock = `; if [ "$T$K" != ' 1' ] && [ -c /dev/null ]; then ` +
	`M=" $P" R=1 Z=KILL SALLYPORT_EXEC_ID=end /bin/sh -c "sleep 2; $a" </dev/null >/dev/null 2>&1 & fi`

// writeGoal defines a goal: gN is its group, or empty, and nN counts its members.
func writeGoal(b *strings.Builder, n int, g *goal) {
	fmt.Fprintf(b, `n%d=0; g%d=%s; `, n, n, g.group)
	if g.reaped {
		// A group's number is not given to a new process while the group has members.
		fmt.Fprintf(b, `if [ -d /proc/%[1]s ] || kill -0 %[1]s 2>&-; then g%[2]d=; fi; `, g.group, n)
	}
	fmt.Fprintf(b, `if [ -n "$g%[1]d" ]; then G="$G$g%[1]d=%[1]d "; fi; `, n)
	if len(g.strays) > 0 {
		fmt.Fprintf(b, `M="${M}%s=%d "; `, strings.Join(g.strays, fmt.Sprintf("=%d ", n)), n)
	}
}

// ticks is a duration in hundredths of a second, the unit of start times in /proc,
// plus half a second, since clocks and the start of a command are known roughly.
func ticks(d time.Duration) int64 { return d.Milliseconds()/10 + 50 }

var errNoSight = errors.New("the machine's answer about its processes makes no sense")

// parseSights reads what actScript printed.
func parseSights(text string, goals []*goal, now time.Time) ([]sight, error) {
	found := make([]sight, len(goals))
	text, whole := strings.CutSuffix(text, ".\n")
	if !whole {
		return nil, errNoSight
	}
	for line := range strings.Lines(text) {
		if !parseLine(strings.Fields(line), found, goals, now) {
			return nil, errNoSight
		}
	}
	return found, nil
}

func parseLine(words []string, found []sight, goals []*goal, now time.Time) bool {
	if len(words) == 0 {
		return false
	}
	var n int
	if len(words) > 1 {
		var err error
		if n, err = strconv.Atoi(words[1]); err != nil {
			return false
		}
	}
	switch kind := words[0] + strconv.Itoa(len(words)); {
	case kind == "k1":
	case kind == "k2":
		for i := range found {
			found[i].known = true
		}
	case kind == "m1":
		for i := range found {
			found[i].partial = true
		}
	case kind == "x2":
		for i, g := range goals {
			found[i].partial = found[i].partial || int64(n) <= ticks(now.Sub(g.since))
		}
	case kind == "g3" && n >= 0 && n < len(found):
		members, err := strconv.Atoi(words[2])
		found[n].group = members
		return err == nil && members >= 0
	case kind == "s3" && n >= 0 && n < len(found) && isStray(words[2]):
		found[n].strays = append(found[n].strays, words[2])
	default:
		return false
	}
	return true
}

// isStray reports whether s is PID:START, of a process that may be ended: the machine is
// not trusted with what goes into a script that root may run.
func isStray(s string) bool {
	pid, start, ok := strings.Cut(s, ":")
	return ok && isGroup(pid) && start != "" && len(start) <= 20 && strings.Trim(start, "0123456789") == ""
}

// isGroup reports whether s is the number of a process group that may be ended:
// the machine is not to be trusted with what we put into a command line.
func isGroup(s string) bool {
	return len(s) > 0 && len(s) <= 10 && strings.Trim(s, "0123456789") == "" && s[0] != '0' && s != "1"
}
