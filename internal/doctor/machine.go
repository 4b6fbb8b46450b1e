package doctor

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/internal/disk"
	"sallyport/internal/limits"
	"sallyport/internal/sshhost"
)

// address looks whether a server could listen, or does.
func (d *doctor) address(ctx context.Context) {
	if d.held {
		d.servedAddress(ctx)
		return
	}
	d.listen("address", d.cfg.Listen, "choose another with --listen")
	if d.cfg.MetricsListen != "" {
		d.listen("metrics address", d.cfg.MetricsListen, "choose another for metrics.listen")
	}
}

// listen looks whether a server could listen on an address: it does, for an
// instant. Only that tells whether the address is this machine's, and may be had.
func (d *doctor) listen(check, address, elsewhere string) {
	if _, port, _ := net.SplitHostPort(address); port == "0" {
		d.ok(check, "%s: any free port", address)
		return
	}
	listener, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		_ = listener.Close() // nobody has connected
		d.ok(check, "%s is free", address)
	case errors.Is(err, syscall.EADDRINUSE):
		d.fail(check, elsewhere, "%s is taken by another program, and no server holds the data directory", address)
	case errors.Is(err, syscall.EACCES):
		d.fail(check, "choose a port above 1023, or give the server CAP_NET_BIND_SERVICE", "%s: you may not listen there", address)
	default:
		d.fail(check, elsewhere, "%s: %s", address, listenCause(err))
	}
}

// servedAddress looks whether the server that runs is the one that the
// configuration means.
func (d *doctor) servedAddress(ctx context.Context) {
	const check = "address"
	address := d.localAddress()
	if address == "" {
		d.ok(check, "%s: the server chose a port at its start", d.cfg.Listen)
		return
	}
	if err := d.askHealth(ctx, address); err != nil {
		d.warn(check, "the server may run by another configuration: its log says where it serves",
			"a server holds the data directory, and on %s none answers: %s", d.cfg.Listen, err)
		return
	}
	d.ok(check, "the server answers on %s", d.cfg.Listen)
}

// localAddress is where this machine reaches the server that runs; empty where the
// configuration doesn't say.
func (d *doctor) localAddress() string {
	host, port, _ := net.SplitHostPort(d.cfg.Listen)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	if port == "0" {
		return ""
	}
	return net.JoinHostPort(host, port)
}

// askHealth asks what listens on this machine whether it is a server.
func (d *doctor) askHealth(ctx context.Context, address string) error {
	scheme := "http://"
	transport := &http.Transport{DisableKeepAlives: true}
	if d.cfg.TLS.CertFile != "" {
		scheme = "https://"
		// The certificate is for the name that callers use, not for this machine's own
		// address; another check looks at it.
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	}
	ctx, cancel := context.WithTimeout(ctx, limits.DoctorCallTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+address+"/healthz", nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return listenCause(err)
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	var health struct{ Status string }
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err == nil {
		err = json.Unmarshal(body, &health)
	}
	if err != nil || resp.StatusCode != http.StatusOK || health.Status == "" {
		return errors.New("what answers is no sallyport")
	}
	return nil
}

// listenCause leaves out what the message says already: the address.
func listenCause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

func (d *doctor) openFiles(context.Context) {
	const check, hint = "open files", "raise it: LimitNOFILE= in the systemd unit, or ulimit -n"
	whose, limit, ok := "the server", uint64(0), false
	if d.held {
		limit, ok = openFilesOf(d.pid)
	}
	if !ok {
		var own unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
			d.warn(check, "", "the limit can't be read: %s", err)
			return
		}
		// Where it may, the program raises it to the hard limit at its start.
		whose, limit = "a process started here", own.Cur
	}
	switch {
	case limit < limits.OpenFilesMin:
		d.fail(check, hint, "%s may have %d open: it takes %d", whose, limit, limits.OpenFilesMin)
	case limit < limits.OpenFilesLow:
		d.warn(check, hint, "%s may have %d open: %d is for a server under load", whose, limit, limits.OpenFilesLow)
	default:
		d.ok(check, "%s may have %d open", whose, limit)
	}
}

// openFilesOf reads the limit of another process, where the system tells it and it
// is one of ours.
func openFilesOf(pid int) (limit uint64, ok bool) {
	proc := "/proc/" + strconv.Itoa(pid)
	comm, err := os.ReadFile(proc + "/comm")
	if err != nil || strings.TrimSpace(string(comm)) != "sallyport" {
		return 0, false // the number of another world, or of nobody any more
	}
	text, err := os.ReadFile(proc + "/limits")
	if err != nil {
		return 0, false
	}
	_, line, _ := strings.Cut(string(text), "Max open files")
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return 0, false
	}
	limit, err = strconv.ParseUint(fields[0], 10, 64)
	return limit, err == nil
}

// tools looks at what the embedded SSH host needs of this machine.
func (d *doctor) tools(context.Context) {
	const check = "tools"
	if !d.cfg.LocalEnabled {
		return
	}
	shell, err := sshhost.LoginShell()
	if err == nil {
		err = runnable(shell)
	}
	if err != nil {
		d.fail(check, "give the server's user a login shell: chsh", "login shell %s: %s", shell, disk.Cause(err))
		return
	}
	if _, err := os.Stat("/proc/self/environ"); err != nil {
		d.warn(check, "mount /proc", "login shell %s; without /proc no end of a command is verified", shell)
		return
	}
	d.ok(check, "commands on this machine run by the login shell %s", shell)
}

// runnable fails for a file that can't be executed, and for shells that refuse every
// login.
func runnable(shell string) error {
	if err := unix.Access(shell, unix.X_OK); err != nil {
		return err
	}
	for _, refusing := range []string{"/nologin", "/false"} {
		if strings.HasSuffix(shell, refusing) {
			return errors.New("it refuses every command")
		}
	}
	return nil
}

// clock comes last: it takes as its measure the time that all else took.
func (d *doctor) clock(context.Context) {
	const check, hint = "clock", "set it, and keep it right: chrony, or systemd-timesyncd"
	now := time.Now()
	// Round(0) leaves the wall clock alone.
	stepped := now.Round(0).Sub(d.began.Round(0)) - now.Sub(d.began)
	var ahead time.Duration
	if d.store != nil && !d.store.NewestAt.IsZero() {
		ahead = d.store.NewestAt.Sub(now)
	}
	switch {
	case now.Year() < 2025:
		d.fail(check, hint, "it says %s, which is before this program was written", when(now))
	case ahead > limits.ClockSkewMax:
		d.fail(check, hint, "it says %s, and the newest row of the activity log is from the future: %s", when(now), when(d.store.NewestAt))
	case ahead > limits.ClockSkewHigh:
		d.warn(check, hint, "the newest row of the activity log is %s ahead of it", ahead.Round(time.Millisecond))
	case stepped.Abs() > limits.ClockSkewHigh:
		d.warn(check, hint, "it was moved by %s while this looked", stepped.Round(time.Millisecond))
	case !clockIsSynchronized():
		d.warn(check, "run chrony or systemd-timesyncd, unless the machine below keeps the clock", "%s; the kernel says that nothing keeps it right", when(now))
	default:
		d.ok(check, "%s", when(now))
	}
}
