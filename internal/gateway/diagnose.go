package gateway

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"sallyport"
	"sallyport/internal/remote"
	"sallyport/internal/sshpool"
	"sallyport/internal/store"
)

// resolver is a connector whose machines have names or addresses.
type resolver interface {
	// Resolve returns the addresses of spec's host, and an error that tells of the
	// first step that failed: ErrForbidden of the connector for an address.
	Resolve(ctx context.Context, spec sallyport.Connector) (addrs []netip.Addr, allowed error, err error)
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
	d := &diagnosis{}
	if g.diagnoseName(ctx, ws, d) {
		g.diagnoseMachine(ctx, ws, d)
	}
	return d.result(ws.Connector), nil
}

// diagnosis is what has been found so far.
type diagnosis struct{ steps []sallyport.DiagnosisStep }

func (d *diagnosis) add(step sallyport.DiagnosisStep) { d.steps = append(d.steps, step) }

// result fills in the steps that were not reached.
func (d *diagnosis) result(c *sallyport.Connector) sallyport.Diagnosis {
	out := sallyport.Diagnosis{OK: true, Steps: d.steps}
	all := []string{sallyport.StepPort, sallyport.StepBanner, sallyport.StepHostKey, sallyport.StepLogin, sallyport.StepShell, sallyport.StepSFTP}
	if c.Type == sallyport.ConnectorSSH {
		all = append([]string{sallyport.StepName, sallyport.StepAddress}, all...)
	}
	for i, name := range all {
		if i >= len(out.Steps) {
			out.Steps = append(out.Steps, sallyport.DiagnosisStep{Name: name, Status: sallyport.StepSkipped})
		}
		out.OK = out.OK && out.Steps[i].Status != sallyport.StepFail && out.Steps[i].Status != sallyport.StepSkipped
	}
	return out
}

// diagnoseName looks the name up and holds the addresses to the rules. It tells
// whether to go on.
func (g *Gateway) diagnoseName(ctx context.Context, ws store.Workspace, d *diagnosis) bool {
	r, ok := g.Connectors[ws.Connector.Type].(resolver)
	if !ok {
		return true
	}
	began := time.Now()
	addrs, allowed, err := r.Resolve(ctx, *ws.Connector)
	name := sallyport.DiagnosisStep{Name: sallyport.StepName, Status: sallyport.StepOK, DurationMS: time.Since(began).Milliseconds()}
	if err != nil {
		name.Status, name.Detail = sallyport.StepFail, "the name "+ws.Connector.Host+" can't be found"
		name.Hint = "check connector.host, and the names that the server's own resolver knows"
		d.add(name)
		return false
	}
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.String()
	}
	if name.Detail = ws.Connector.Host + " is " + strings.Join(texts, ", "); len(texts) == 1 && texts[0] == ws.Connector.Host {
		name.Detail = "it is an address"
	}
	d.add(name)
	address := sallyport.DiagnosisStep{Name: sallyport.StepAddress, Status: sallyport.StepOK, Detail: "it may be dialled"}
	if allowed != nil {
		address.Status, address.Detail = sallyport.StepFail, "none of the addresses may be dialled"
		address.Hint = "an operator allows networks with connectors.ssh.allow"
	}
	d.add(address)
	return allowed == nil
}

// diagnoseMachine knocks, and takes apart how far it came.
func (g *Gateway) diagnoseMachine(ctx context.Context, ws store.Workspace, d *diagnosis) {
	key := sallyport.DiagnosisStep{Name: sallyport.StepHostKey, Status: sallyport.StepOK}
	target := sshpool.Target{
		HostKey: ws.Connector.HostKey,
		Dial:    g.dial(ws),
		CheckHostKey: func(ctx context.Context, seen sshpool.HostKey) error {
			if err := judgeKey(ws.Connector.HostKey, seen, &key); err != nil {
				return err
			}
			return g.checkOwner(ctx, ws, seen)
		},
	}
	var shell, sftp sallyport.DiagnosisStep
	probe := g.Pool.Probe(ctx, target, func(s *sshpool.Session) { shell, sftp = g.diagnoseSession(ctx, s) })
	passed := func(stage sshpool.Stage) bool { return probe.Reached > stage }
	took := func(stage sshpool.Stage) int64 { return probe.Took[stage].Milliseconds() }

	port := sallyport.DiagnosisStep{Name: sallyport.StepPort, Status: sallyport.StepOK, DurationMS: took(sshpool.StageDial)}
	if !passed(sshpool.StageDial) {
		port.Status, port.Detail, port.Hint = sallyport.StepFail, ownWords(probe.Err), "is the machine up, and does its firewall let the server in?"
		d.add(port)
		return
	}
	d.add(port)
	banner := sallyport.DiagnosisStep{Name: sallyport.StepBanner, Status: sallyport.StepOK, Detail: probe.Banner, DurationMS: took(sshpool.StageBanner)}
	if !strings.HasPrefix(probe.Banner, "SSH-") || !passed(sshpool.StageBanner) && ws.Connector.Type != sallyport.ConnectorLocal {
		banner.Status, banner.Hint = sallyport.StepFail, "something answers on this port, but not as an SSH server; is it sshd, and is it stuck or full (MaxStartups)?"
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
		login.Status, login.Detail, login.Hint = sallyport.StepFail, "the machine lets nobody in as "+ws.Connector.User+" with what the server has", loginHint(ws.Connector)
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

func loginHint(c *sallyport.Connector) string {
	if c.Auth != nil && c.Auth.Type == sallyport.AuthKey {
		return "is the public part of the key in ~" + c.User + "/.ssh/authorized_keys on the machine?"
	}
	return "does the machine's sshd_config have TrustedUserCAKeys with the keys of GET /ca, and is there a user " + c.User + "?"
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
		sftp.Status, sftp.Detail = sallyport.StepWarn, "there is no SFTP server: commands run, files can't be copied"
		sftp.Hint = "sshd_config: Subsystem sftp internal-sftp"
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
