package remote

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/internal/limits"
	"sallyport/internal/sshpool"
)

// endGroup ends the command's process group, and what has left it, from a session of
// its own, since sshd ignores signal requests of a root login, and looks at what is
// left. It
// takes limits.EndTimeMax at most. exited tells that the command itself has been
// reaped, so that its number may be another's by now.
func (r *run) endGroup(ctx context.Context, exited bool) Survivors {
	if r.cmd.script != "" {
		return Survivors{Forced: true}
	}
	ctx, cancel := endContext(ctx)
	defer cancel()
	s, err := r.s.Sibling(ctx)
	if err == nil {
		var left Survivors
		if left, err = runEnd(ctx, s, endGroupScript(r.group, r.cmd.ExecID, exited)); err == nil {
			return left
		}
	}
	return r.endBySignal(ctx)
}

// endBySignal is what remains when the machine takes no second session: signals
// over the command's own. Nobody looks at what is left.
func (r *run) endBySignal(ctx context.Context) Survivors {
	r.signal("TERM")
	select {
	case <-r.closed:
	case <-ctx.Done():
	}
	r.signal("KILL")
	return Survivors{Forced: true}
}

func (r *run) signal(name string) {
	r.s.SendRequest("signal", false, ssh.Marshal(struct{ Name string }{name}))
}

// endByID ends a command whose process group never became known.
func (r *run) endByID(ctx context.Context) Survivors {
	if r.cmd.script != "" {
		return Survivors{Forced: true}
	}
	ctx, cancel := endContext(ctx)
	defer cancel()
	for range endTries {
		s, err := r.s.Sibling(ctx)
		if err == nil {
			var left Survivors
			if left, err = EndAll(ctx, s, []string{r.cmd.ExecID}); err == nil {
				return left
			}
		}
		// It may have been the connection that has just broken, of which not everybody
		// knows yet. To look twice does no harm.
		select {
		case <-ctx.Done():
			return Survivors{Forced: true}
		case <-time.After(endPause):
		}
	}
	return Survivors{Forced: true}
}

const (
	// endTries is how often a machine is looked at for a command whose connection broke,
	// and endPause is between two looks.
	endTries = 3
	endPause = 100 * time.Millisecond
)

// endContext outlives the caller's context by what an end may take.
func endContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), limits.EndTimeMax-limits.OutputGrace/2)
}

// EndAll ends every process on s's machine whose SALLYPORT_EXEC_ID is one of ids,
// as far as the login user may see and end it, and closes s. It serves to clean
// up after a crash: ids are those of execs that nobody watches any more.
func EndAll(ctx context.Context, s *sshpool.Session, ids []string) (Survivors, error) {
	return runEnd(ctx, s, endAllScript(ids))
}

// CheckShell tells whether commands can be started on s's machine, by starting a
// script of our own that says so, and closes s.
func CheckShell(ctx context.Context, s *sshpool.Session) error {
	left, err := runEnd(ctx, s, "echo 0")
	if err == nil && left.Count != 0 {
		err = transportError("the machine's shell does not do what it is told to", true, nil)
	}
	return err
}

// runEnd runs a script that prints how many processes are left, or "unknown".
func runEnd(ctx context.Context, s *sshpool.Session, script string) (Survivors, error) {
	var out bytes.Buffer
	answer, err := Exec(ctx, s, Command{
		script: script, Timeout: limits.EndTimeMax + limits.RecoverTime, ConnectBy: time.Now().Add(limits.ConnectTime),
		OutputGrace: limits.OutputGrace,
		Gate:        func() error { return nil },
		Started:     func(Process) {},
		Stdout:      &out, Stderr: &bytes.Buffer{},
	})
	if err != nil {
		return Survivors{}, fmt.Errorf("end processes: %w", err)
	}
	if answer.End != Exited || answer.ExitCode != 0 {
		return Survivors{}, fmt.Errorf("end processes: no answer: %w", answer.Cause)
	}
	text := strings.TrimSpace(out.String())
	if text == "unknown" {
		return Survivors{Forced: true}, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return Survivors{}, fmt.Errorf("end processes: the machine answered %.40q", text)
	}
	return Survivors{Forced: true, Known: true, Count: n}, nil
}

// countScript defines c, which counts in n the living processes of group $g by
// looking at each, since kill's result tells nothing of a group that holds
// another user's process; where there is one of those, it sets o. A name may hold a
// newline or a parenthesis: what counts stands behind the last one. cat reads in
// blocks, where read takes a byte a call.
const countScript = `N=${IFS#??}; c() { n=0; o=; x=$(cat /proc/[0-9]*/stat); F=$IFS; IFS=$N; set -f; for l in $x; do ` +
	`t=${l##*") "}; s=${t%% *}; t=${t#* }; t=${t#* }; case ${t%% *}:$s in $g:[!ZX]) n=$((n+1)); [ -r /proc/${l%% *}/environ ] || o=1;; esac; done; ` +
	`set +f; IFS=$F; } 2>/dev/null; `

// The scripts say kill -TERM -PGID and not -- -PGID, which dash and busybox refuse.

// findScript defines s, which lists in p the processes outside of group $g that have
// an exec's id in their environment, as far as the login user may read it. A zombie
// has none.
func findScript(ids []string) string {
	var patterns strings.Builder
	for _, id := range ids {
		patterns.WriteString(" -e SALLYPORT_EXEC_ID=")
		quote(&patterns, id)
	}
	return `s() { p=; for f in $(grep -lsF` + patterns.String() + ` /proc/[0-9]*/environ); do f=${f#/proc/}; f=${f%/environ}; ` +
		`IFS= read -r l </proc/$f/stat || continue; t=${l##*") "}; t=${t#* }; t=${t#* }; ` +
		`if [ "${t%% *}" != "$g" ]; then p="$p $f"; fi; done; } 2>/dev/null; `
}

// waitScript defines k, which sends a signal to the group and to what p lists; a,
// which tells whether any of them is there; and w, which waits up to $1 twentieths of
// a second for all to be gone. kill -0 is quick, but sees zombies: every half second
// c and s look.
const waitScript = `k() { if [ -n "$g" ]; then kill -$1 -$g; fi; if [ -n "$p" ]; then kill -$1 $p; fi; } 2>/dev/null; ` +
	`a() { if [ -n "$g" ] && kill -0 -$g; then return 0; fi; for q in $p; do if kill -0 $q; then return 0; fi; done; return 1; } 2>/dev/null; ` +
	`w() { i=0; while [ $i -lt $1 ] && a; do i=$((i+1)); ` +
	`case $i in 3|*0) c; s; if [ "$n$p" = 0 ]; then return; fi;; esac; sleep 0.05 || sleep 1; done; } 2>/dev/null; `

// totalScript defines u, which counts in n what is left: the group, and what has left
// it (setsid, a double fork).
const totalScript = `u() { c; s; set -- $p; n=$((n+$#)); }; `

// endGroupScript sends TERM to a process group and to whatever else has the exec's id,
// KILL to what is left of them two seconds later, and prints how many are left. Where
// /proc shows the login user no process of others, nobody can know.
//
// Where the group holds a process of another user, such as sudo's, which the login user
// can neither end nor look into, all of it is done by root, if sudo asks no password.
func endGroupScript(group, execID string, exited bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "g=%s; ", group)
	b.WriteString(countScript + `o=; z=`)
	quote(&b, endScript(group, execID, exited))
	b.WriteString(`; if command -v sudo >/dev/null 2>&1; then c; fi; ` +
		`if [ -n "$o" ] && sudo -n true >/dev/null 2>&1; then exec sudo -n /bin/sh -c "$z"; fi; eval "$z"`)
	return b.String()
}

func endScript(group, execID string, exited bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "g=%s; ", group)
	b.WriteString(countScript + findScript([]string{execID}) + waitScript + totalScript)
	if exited {
		// A group's number is not given to a new process while the group has
		// members: one that bears it now is a stranger.
		b.WriteString(`if [ -d /proc/$g ]; then g=; fi; `)
	}
	// The clock of the KILL is a process of its own: on a busy machine the loop
	// that waits is late.
	b.WriteString(`s; k TERM; { sleep 2; k KILL; } </dev/null >/dev/null 2>&1 & z=$!; ` +
		`w 60; kill -KILL $z 2>/dev/null; s; k KILL; w 6; ` +
		`if [ -r /proc/1/stat ]; then u; echo $n; else echo unknown; fi`)
	return b.String()
}

// endAllScript ends processes by what stands in their environment.
func endAllScript(ids []string) string {
	return findScript(ids) +
		`t() { i=0; while s; [ -n "$p" ] && [ $i -lt $1 ]; do i=$((i+1)); sleep 0.05 || sleep 1; done; } 2>/dev/null; ` +
		`if [ -r /proc/1/stat ] && command -v grep >/dev/null 2>&1; then s; ` +
		`if [ -n "$p" ]; then kill -TERM $p 2>/dev/null; t 38; fi; ` +
		`if [ -n "$p" ]; then kill -KILL $p 2>/dev/null; t 10; fi; ` +
		`set -- $p; echo $#; else echo unknown; fi`
}
