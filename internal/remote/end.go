package remote

import (
	"cmp"
	"context"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"sallyport/internal/limits"
	"sallyport/internal/sshpool"
)

// end ends the processes of g from sessions of their own, since sshd ignores signal
// requests of a root login, and looks at what is left. It returns when they have ended,
// after the command's EndTime at the latest, counted from now; what is still to be done then goes
// on behind it, and the session keeps its slot until it is done.
func (r *run) end(ctx context.Context, g *goal) Survivors {
	if r.cmd.script != "" {
		return Survivors{Forced: true}
	}
	unknown := Survivors{Forced: true}
	result := make(chan Survivors, 1)
	r.s.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.EndBehindTime)
		defer cancel()
		left, err := endProcesses(ctx, r.s, g)
		if err != nil {
			r.endBySignal(ctx)
			left = unknown
		}
		result <- left
	})
	timer := time.NewTimer(min(cmp.Or(r.cmd.EndTime, limits.EndTimeMax)-limits.OutputGrace/2, r.endWithin))
	defer timer.Stop()
	select {
	case left := <-result:
		return left
	case <-timer.C:
		return unknown
	}
}

// endBySignal is what remains when the machine takes no second session: signals
// over the command's own. Nobody looks at what is left.
func (r *run) endBySignal(ctx context.Context) {
	r.sendSignal("TERM")
	timer := time.NewTimer(limits.TermGrace)
	defer timer.Stop()
	select {
	case <-r.closed:
	case <-ctx.Done():
	case <-timer.C:
	}
	r.sendSignal("KILL")
}

func (r *run) sendSignal(name string) {
	r.s.SendRequest("signal", false, ssh.Marshal(struct{ Name string }{name}))
}

// goal is what there is to end of the command. Where its process group is unknown, it
// is found by its id alone.
func (r *run) goal(reaped bool) *goal {
	return &goal{hangUp: r.cmd.PTY != nil, group: r.group, reaped: reaped && r.group != "", ids: []string{r.cmd.ExecID}, since: r.began}
}

// EndAll ends every process on s's machine whose SALLYPORT_EXEC_ID is one of ids,
// as far as the login user may see and end it, and closes s. It serves to clean
// up after a crash: ids are those of execs that nobody watches any more.
func EndAll(ctx context.Context, s *sshpool.Session, ids []string) (Survivors, error) {
	_ = s.Close() // each look has a session of its own
	return endProcesses(ctx, s, &goal{ids: ids, since: time.Now()})
}

// endProcesses sends TERM to the processes of g, KILL to what is left of them two seconds
// later, and returns when nothing is left, or shortly behind the KILL. The server holds the
// clock: the machine may have no sleep, or be too busy for it.
func endProcesses(ctx context.Context, s *sshpool.Session, g *goal) (Survivors, error) {
	w := watchOf(s)
	began := time.Now()
	signal, failed, within := "TERM", 0, limits.EndTimeMax
	const pauseMin = 20 * time.Millisecond
	var killed time.Time
	for pause := pauseMin; ; pause = min(2*pause, 10*pauseMin) {
		found, err := w.act(ctx, s, g, signal, within)
		switch {
		case err != nil:
			// The connection may have just broken, and the pool may not know it yet. To
			// send a signal twice does no harm. Or the login shell is slow to start, and
			// nothing is ended before it has.
			within = limits.ConnectTime
			if failed++; failed == actAttempts || ctx.Err() != nil {
				return Survivors{}, err
			}
		case found.count() == 0, !killed.IsZero() && time.Since(killed) > afterKill:
			return survivorsOf(found), nil
		default:
			g.remember(found)
			failed = 0
			if signal == "KILL" && killed.IsZero() {
				killed = time.Now()
			}
			if killed.IsZero() {
				signal = ""
			} // else it is sent again: what was killed may have forked in the meantime
		}
		if killed.IsZero() && signal == "" {
			if left := limits.TermGrace - time.Since(began); left <= pause {
				pause, signal = max(left, 0), "KILL"
			}
		}
		if !wait(ctx, pause) {
			return Survivors{}, context.Cause(ctx)
		}
		if signal == "KILL" && killed.IsZero() {
			pause = pauseMin
		}
	}
}

const (
	// actAttempts is how often in a row a machine is asked in vain.
	actAttempts = 3
	// afterKill is how long processes may take to be gone behind their KILL.
	afterKill = 300 * time.Millisecond
)

// remember keeps the processes found outside of the group: once its parent has ended, a
// process may show no sign any more that it belongs to the command.
func (g *goal) remember(found sight) {
	for _, stray := range found.strays {
		if !slices.Contains(g.strays, stray) && len(g.strays) < limits.StraysMax {
			g.strays = append(g.strays, stray)
		}
	}
}

// survivorsOf returns what the last look says about survivors.
func survivorsOf(found sight) Survivors {
	known := found.known && (!found.partial || found.count() > 0)
	if !known {
		return Survivors{Forced: true}
	}
	return Survivors{Forced: true, Known: true, Count: found.count()}
}
