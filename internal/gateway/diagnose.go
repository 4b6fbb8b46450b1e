package gateway

import (
	"context"
	"errors"
	"strings"
	"time"

	"sallyport"
	"sallyport/internal/connector"
	"sallyport/internal/remote"
	"sallyport/internal/sshpool"
	"sallyport/internal/store"
)

// walker is a connector with steps of its own on the way to a machine.
type walker interface {
	// Steps names them, in order. The last is that of the dial.
	Steps() []string
	// Walk takes all but the last, until one fails.
	Walk(ctx context.Context, target connector.Target) []sallyport.DiagnosisStep
}

// Diagnose walks the way to a workspace's machine, step by step, and says what it
// finds: on a connection of its own, that is not kept. It pins no host key, and runs
// nothing but a shell that says that it is there. It returns workspace_not_found,
// scope_forbidden or workspace_has_no_host.
func (g *Gateway) Diagnose(ctx context.Context, by Caller, ref Ref) (sallyport.Diagnosis, error) {
	ws, err := g.workspace(ctx, by, ref)
	if err != nil {
		return sallyport.Diagnosis{}, err
	}
	if err := g.check(ctx, by, g.Rules.WriteWorkspaces, &ws, "diagnose the workspace"); err != nil {
		return sallyport.Diagnosis{}, err
	}
	if ws.Connector == nil {
		return sallyport.Diagnosis{}, sallyport.Errorf(sallyport.CodeWorkspaceHasNoHost, "workspace %s has no host: give it a connector first", ws.Name)
	}
	ctx, cancel := context.WithTimeout(ctx, g.ConnectTime)
	defer cancel()
	d := &diagnosis{all: []string{sallyport.StepPort}}
	goOn := true
	if w, ok := g.Connectors[ws.Connector.Type].(walker); ok {
		target, err := g.connectorTarget(ctx, ws)
		if err != nil {
			return sallyport.Diagnosis{}, err
		}
		d.all, d.steps = w.Steps(), w.Walk(ctx, target)
		goOn = len(d.steps) == len(d.all)-1 && d.steps[len(d.steps)-1].Status != sallyport.StepFail
	}
	d.dial = d.all[len(d.all)-1]
	d.all = append(d.all, sallyport.StepBanner, sallyport.StepHostKey, sallyport.StepLogin, sallyport.StepShell, sallyport.StepSFTP)
	if goOn {
		g.diagnoseMachine(ctx, ws, d)
	}
	return d.result(), nil
}

// diagnosis is what has been found so far.
type diagnosis struct {
	all   []string // every step there is
	dial  string   // the one that opens the way to the SSH server
	steps []sallyport.DiagnosisStep
}

func (d *diagnosis) add(step sallyport.DiagnosisStep) { d.steps = append(d.steps, step) }

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

// diagnoseMachine knocks, and takes apart how far it came.
func (g *Gateway) diagnoseMachine(ctx context.Context, ws store.Workspace, d *diagnosis) {
	key := sallyport.DiagnosisStep{Name: sallyport.StepHostKey, Status: sallyport.StepOK}
	by := sshpool.Dialer{
		Dial: func(ctx context.Context) (*connector.Link, error) { return g.dial(ctx, ws, "") },
		CheckHostKey: func(ctx context.Context, seen sshpool.HostKey) error {
			if err := judgeKey(ws.Connector.HostKey, seen, &key); err != nil {
				return err
			}
			return g.checkOwner(ctx, ws, seen)
		},
	}
	var shell, sftp sallyport.DiagnosisStep
	probe := g.Pool.Probe(ctx, target(ws), by, func(s *sshpool.Session) { shell, sftp = g.diagnoseSession(ctx, s) })
	passed := func(stage sshpool.Stage) bool { return probe.Reached > stage }
	took := func(stage sshpool.Stage) int64 { return probe.Took[stage].Milliseconds() }

	hints := hintsOf(ws.Connector)
	dialled := sallyport.DiagnosisStep{Name: d.dial, Status: sallyport.StepOK, DurationMS: took(sshpool.StageDial)}
	if !passed(sshpool.StageDial) {
		dialled.Status, dialled.Detail, dialled.Hint = sallyport.StepFail, ownWords(probe.Err), hints.dial
		d.add(dialled)
		return
	}
	d.add(dialled)
	banner := sallyport.DiagnosisStep{Name: sallyport.StepBanner, Status: sallyport.StepOK, Detail: probe.Banner, DurationMS: took(sshpool.StageBanner)}
	if !strings.HasPrefix(probe.Banner, "SSH-") || !passed(sshpool.StageBanner) && ws.Connector.Type != sallyport.ConnectorLocal {
		banner.Status, banner.Hint = sallyport.StepFail, hints.banner
		if banner.Detail == "" {
			banner.Detail = ownWords(probe.Err)
		}
		d.add(banner)
		return
	}
	d.add(banner)
	d.add(key)
	if key.Status == sallyport.StepFail {
		return
	}
	login := sallyport.DiagnosisStep{Name: sallyport.StepLogin, Status: sallyport.StepOK, DurationMS: took(sshpool.StageLogin)}
	if !passed(sshpool.StageLogin) {
		login.Status, login.Detail, login.Hint = sallyport.StepFail, "the machine lets nobody in as "+ws.Connector.User+" with what the server has", hints.login
		d.add(login)
		return
	}
	d.add(login)
	if shell.Name == "" {
		shell = sallyport.DiagnosisStep{Name: sallyport.StepShell, Status: sallyport.StepFail, Detail: ownWords(probe.Err), Hint: "does sshd allow sessions (MaxSessions)?"}
		d.add(shell)
		return
	}
	d.add(shell)
	d.add(sftp)
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

func hintsOf(c *sallyport.Connector) hints {
	h := hints{
		dial:   "is the machine up, and does its firewall let the server in?",
		banner: "something answers on this port, but not as an SSH server; is it sshd, and is it stuck or full (MaxStartups)?",
		login:  "does the machine's sshd_config have TrustedUserCAKeys with the keys of GET /ca, and is there a user " + c.User + "?",
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
func (g *Gateway) diagnoseSession(ctx context.Context, s *sshpool.Session) (shell, sftp sallyport.DiagnosisStep) {
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
