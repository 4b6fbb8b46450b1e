// Package diagnosis walks the way to a machine, step by step, and says what it finds: on a
// connection of its own, that is not kept.
package diagnosis

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/connector"
	"sallyport/internal/remote"
	"sallyport/internal/sshpool"
)

// Way is the way to one machine, and what is needed to walk it. All fields are set.
type Way struct {
	Pool *sshpool.Pool
	// To is the machine in the pool, Connector how its workspace says it is reached, and
	// By the connector that reaches it.
	To        sshpool.Target
	Connector sallyport.Connector
	By        connector.Connector
	// Target is asked only where By has steps of its own; its error ends the walk.
	Target func(ctx context.Context) (connector.Target, error)
	// Dial opens the way to the SSH server.
	Dial func(ctx context.Context) (*connector.Link, error)
	// Time bounds the walk.
	Time time.Duration
	// WorkspaceID and Log are for what a stranger's service said, which isn't for callers.
	WorkspaceID string
	Log         *slog.Logger
}

// walker is a connector with steps of its own on the way to a machine.
type walker interface {
	// Steps names them, in order. The last is that of the dial.
	Steps() []string
	// Walk takes all but the last, until one fails.
	Walk(ctx context.Context, target connector.Target) []sallyport.DiagnosisStep
}

// Walk takes the steps. failure is why the machine can't be used, where that has an error.
func Walk(ctx context.Context, way Way) (found sallyport.Diagnosis, failure, err error) {
	ctx, cancel := context.WithTimeout(ctx, way.Time)
	defer cancel()
	d := &diagnosis{all: []string{sallyport.StepPort}}
	goOn := true
	if w, ok := way.By.(walker); ok {
		target, err := way.Target(ctx)
		if err != nil {
			return found, nil, err
		}
		d.all, d.steps = w.Steps(), w.Walk(ctx, target)
		goOn = len(d.steps) == len(d.all)-1 && d.steps[len(d.steps)-1].Status != sallyport.StepFail
	}
	d.dial = d.all[len(d.all)-1]
	d.all = append(d.all, sallyport.StepBanner, sallyport.StepHostKey, sallyport.StepLogin, sallyport.StepShell, sallyport.StepSFTP)
	if goOn {
		failure = way.diagnoseMachine(ctx, d)
	}
	return d.result(), failure, nil
}

// diagnosis is what has been found so far.
type diagnosis struct {
	all   []string // every step there is
	dial  string   // the one that opens the way to the SSH server
	steps []sallyport.DiagnosisStep
}

func (d *diagnosis) add(step sallyport.DiagnosisStep) { d.steps = append(d.steps, step) }

func (d *diagnosis) pass(name, detail string, took time.Duration) {
	d.add(sallyport.DiagnosisStep{Name: name, Status: sallyport.StepOK, Detail: detail, DurationMS: took.Milliseconds()})
}

func (d *diagnosis) fail(name, detail, hint string) {
	d.add(sallyport.DiagnosisStep{Name: name, Status: sallyport.StepFail, Detail: detail, Hint: hint})
}

// result fills in the steps that were not reached.
func (d *diagnosis) result() sallyport.Diagnosis {
	out := sallyport.Diagnosis{OK: true, Steps: d.steps}
	for i, name := range d.all {
		if i >= len(out.Steps) {
			out.Steps = append(out.Steps, sallyport.DiagnosisStep{Name: name, Status: sallyport.StepSkipped})
		}
		out.OK = out.OK && out.Steps[i].Status != sallyport.StepFail && out.Steps[i].Status != sallyport.StepSkipped
	}
	return out
}

// diagnoseMachine makes a connection, and adds a step for each stage that it came to. It
// returns what ended it.
func (way *Way) diagnoseMachine(ctx context.Context, d *diagnosis) error {
	key := sallyport.DiagnosisStep{Name: sallyport.StepHostKey, Status: sallyport.StepOK}
	by := sshpool.Dialer{
		Dial: way.Dial,
		CheckHostKey: func(_ context.Context, seen sshpool.HostKey) error {
			return judgeKey(way.Connector.HostKey, seen, &key)
		},
	}
	var shell, sftp sallyport.DiagnosisStep
	probe := way.Pool.Probe(ctx, way.To, by, func(s *sshpool.Session) { shell, sftp = diagnoseSession(ctx, s) })
	passed := func(stage sshpool.Stage) bool { return probe.Reached > stage }
	hints := hintsOf(way.Connector)

	if !passed(sshpool.StageDial) {
		d.fail(d.dial, ownWords(probe.Err), hints.dial)
		return probe.Err
	}
	d.pass(d.dial, "", probe.Took[sshpool.StageDial])
	switch {
	case probe.Banner == "":
		// What a stranger's service says is not for the caller: only that it isn't SSH.
		way.Log.InfoContext(ctx, "diagnosis: no SSH server", "workspace_id", way.WorkspaceID, "said", probe.Said, "cause", probe.Err)
		d.fail(sallyport.StepBanner, ownWords(probe.Err), hints.banner)
		return probe.Err
	case !passed(sshpool.StageBanner) && way.Connector.Type != sallyport.ConnectorLocal:
		d.fail(sallyport.StepBanner, probe.Banner, hints.banner)
		return probe.Err
	}
	d.pass(sallyport.StepBanner, probe.Banner, probe.Took[sshpool.StageBanner])
	d.add(key)
	if key.Status == sallyport.StepFail {
		return probe.Err
	}
	if !passed(sshpool.StageLogin) {
		d.fail(sallyport.StepLogin, "the machine rejected the server's credentials for user "+way.Connector.User, hints.login)
		return probe.Err
	}
	d.pass(sallyport.StepLogin, "", probe.Took[sshpool.StageLogin])
	if shell.Name == "" {
		d.fail(sallyport.StepShell, ownWords(probe.Err), "does sshd allow sessions (MaxSessions)?")
		return probe.Err
	}
	d.add(shell)
	d.add(sftp)
	return nil
}

// judgeKey holds a machine's key to the one that it is known by. A new one is no
// failure: nobody has trusted it yet.
func judgeKey(known string, seen sshpool.HostKey, step *sallyport.DiagnosisStep) error {
	step.HostKey, step.Fingerprint = seen.Line, seen.Fingerprint
	switch known {
	case seen.Line:
		step.Detail = "it is the one that is known"
	case "":
		step.Status, step.Detail = sallyport.StepWarn, "no key is known yet; compare the fingerprint on the machine"
		step.Hint = "on the machine: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"
	default:
		step.Status, step.Detail = sallyport.StepFail, "it is not the one that is known: this may be another machine"
		step.Hint = "if the machine was made anew, set connector.host_key to the new key"
		return sallyport.Errorf(sallyport.CodeHostKeyMismatch, "the machine's host key is not the one it is known by")
	}
	return nil
}

// hints are what to do where the way ends at the dial, the banner or the login.
type hints struct{ dial, banner, login string }

func hintsOf(c sallyport.Connector) hints {
	h := hints{
		dial:   "is the machine up, and does its firewall let the server in?",
		banner: "something answers on this port, but not as an SSH server; is it sshd, and is it stuck or full (MaxStartups)?",
		login: "does the machine's sshd_config have TrustedUserCAKeys with the keys of its organisation (sallyport ca show), is there a user " + c.User +
			", and are the clocks of the machine and of this server right (a certificate is good for minutes)?",
	}
	switch {
	case c.Type == sallyport.ConnectorEIC:
		h.dial = "the server's log has AWS's codes and request ids; docs/aws.md lists the permissions"
		h.banner = "do the security groups let the endpoint in on port 22, is sshd up, and is the instance done booting?"
		h.login = "on the machine: is the package ec2-instance-connect installed, the metadata service on, no other AuthorizedKeysCommand set, and is there a user " + c.User + "?"
	case c.Auth != nil && c.Auth.Type == sallyport.AuthKey:
		h.login = "is the public part of the key in ~" + c.User + "/.ssh/authorized_keys on the machine?"
	}
	return h
}

// diagnoseSession tries the shell and the file server.
func diagnoseSession(ctx context.Context, s *sshpool.Session) (shell, sftp sallyport.DiagnosisStep) {
	sibling, err := s.Sibling(ctx)
	began := time.Now()
	if err == nil {
		err = remote.CheckShell(ctx, sibling)
	}
	shell = sallyport.DiagnosisStep{Name: sallyport.StepShell, Status: sallyport.StepOK, DurationMS: time.Since(began).Milliseconds(), Detail: "the login shell starts /bin/sh"}
	if err != nil {
		shell.Status, shell.Detail = sallyport.StepFail, ownWords(err)
		shell.Hint = "log in by hand as this user: do its rc files end, print without end, or is a command forced (ForceCommand)?"
	}
	sftp = sallyport.DiagnosisStep{Name: sallyport.StepSFTP, Status: sallyport.StepOK, Detail: "the SFTP server is there"}
	began = time.Now()
	if ok, err := s.RequestSubsystem("sftp"); err != nil || !ok {
		sftp.Detail = "there is no SFTP server, and commands need none"
	}
	sftp.DurationMS = time.Since(began).Milliseconds()
	return shell, sftp
}

// ownWords is an error without what others said.
func ownWords(err error) string {
	var known *sallyport.Error
	switch {
	case errors.As(err, &known):
		return known.Message
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	}
	return "it could not be reached"
}
