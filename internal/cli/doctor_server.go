package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	urls "net/url"
	"strings"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/internal/doctor"
	"sallyport/internal/limits"
)

// examination is of a server, from where a client of it is.
type examination struct {
	account
	found []doctor.Finding
	// version is this program's.
	version string
	// unreachable is the status of a server that can't be reached: a failure to
	// those who asked for it.
	unreachable doctor.Status
	http        *http.Client
}

func (e *examination) add(status doctor.Status, check, hint, format string, args ...any) {
	e.found = append(e.found, doctor.Finding{Check: check, Status: status, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// examineURL looks at the server at url, with the token of the account in force if
// that is for it.
func (a *app) examineURL(ctx context.Context, url string) ([]doctor.Finding, error) {
	url = strings.TrimRight(url, "/")
	parsed, err := urls.Parse(url)
	if err != nil || parsed.Host == "" || parsed.User != nil || parsed.Scheme != "http" && parsed.Scheme != "https" {
		// It isn't repeated: there may be a password in it.
		return nil, usagef("for example: --url https://sallyport.example", "--url is no URL of a server")
	}
	known, _ := a.knownAccount()
	if strings.TrimRight(known.url, "/") != url {
		known = account{url: url} // a token is for its own server alone, and so is a CA
	}
	return a.examineServer(ctx, known, doctor.StatusFail), nil
}

// examineProfile looks at the server of the account in force; there may be none.
// Where nobody has named it, that it can't be reached is only worth a warning.
func (a *app) examineProfile(ctx context.Context) ([]doctor.Finding, error) {
	known, err := a.knownAccount()
	isNamed := a.profileName() != "" || a.env(envURL) != "" && a.env(envToken) != ""
	switch {
	case err != nil && isNamed:
		return nil, err
	case errors.Is(err, errNoServer), errors.Is(err, errNoHome):
		return nil, nil
	case err != nil:
		return []doctor.Finding{{Check: "profile", Status: doctor.StatusWarn, Message: plainly(err.Error()), Hint: a.hintOf(err)}}, nil
	case isNamed:
		return a.examineServer(ctx, known, doctor.StatusFail), nil
	}
	return a.examineServer(ctx, known, doctor.StatusWarn), nil
}

// knownAccount is the account in force, with either of a profile's tokens.
func (a *app) knownAccount() (account, error) {
	known, err := a.account(a.flags.admin)
	if err == nil || a.flags.admin {
		return known, err
	}
	if asAdmin, adminErr := a.account(true); adminErr == nil {
		return asAdmin, nil
	}
	return known, err
}

func (a *app) examineServer(ctx context.Context, known account, unreachable doctor.Status) []doctor.Finding {
	e := &examination{account: known, version: a.Version, unreachable: unreachable}
	c := client.New(known.url, known.token)
	defer c.Close()
	transport, err := known.transport(c)
	if err != nil {
		e.add(unreachable, "server", a.hintOf(err), "%s", plainly(err.Error()))
		return e.found
	}
	e.http = &http.Client{
		Transport: transport, Timeout: limits.DoctorCallTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c.HTTPClient = e.http
	if e.alive(ctx) {
		e.ready(ctx)
		e.versions(ctx)
		e.token(ctx, c)
	}
	return e.found
}

// alive asks for /healthz, and looks at the server's clock. It tells whether there
// is more to ask.
func (e *examination) alive(ctx context.Context) bool {
	const check = "server"
	sent := time.Now()
	status, header, body, err := e.get(ctx, "/healthz")
	took := time.Since(sent)
	switch {
	case err != nil:
		e.add(e.unreachable, check, hints{e.account, ""}.of(err), "%s can't be reached: %s", e.url, err)
		return false
	case status != http.StatusOK || !strings.Contains(body, `"status"`):
		e.add(e.unreachable, check, "check the URL: is it that of a Sallyport server?", "%s answers %d, and not as a server of ours", e.url, status)
		return false
	}
	e.add(doctor.StatusOK, check, "", "%s answers, in %s", e.url, took.Round(time.Millisecond))
	e.clock(header.Get("Date"), sent.Add(took/2))
	return true
}

// clock compares two clocks, to the second that a Date is written to.
func (e *examination) clock(date string, here time.Time) {
	const check, hint = "server clock", "set the one that is wrong: chrony, or systemd-timesyncd"
	there, err := http.ParseTime(date)
	if err != nil {
		return // a proxy may leave it out
	}
	ahead := there.Add(time.Second / 2).Sub(here)
	status := doctor.StatusOK
	switch {
	case ahead.Abs() > limits.ClockSkewMax:
		status = doctor.StatusFail
	case ahead.Abs() > limits.ClockSkewHigh:
		status = doctor.StatusWarn
	default:
		e.add(status, check, "", "the server's clock and this one agree, to %s", limits.ClockSkewHigh)
		return
	}
	word := "ahead of"
	if ahead < 0 {
		word = "behind"
	}
	e.add(status, check, hint, "the server's clock is %s %s this one", ahead.Abs().Round(time.Second), word)
}

func (e *examination) ready(ctx context.Context) {
	const check = "server readiness"
	status, _, body, err := e.get(ctx, "/readyz")
	switch {
	case err != nil:
		e.add(doctor.StatusFail, check, hints{e.account, ""}.of(err), "%s", err)
	case status != http.StatusOK:
		e.add(doctor.StatusFail, check, "the server's log has more", "it can't serve: %d %s", status, strings.TrimSpace(body))
	case strings.Contains(body, `"degraded"`):
		e.add(doctor.StatusWarn, check, "the server's log has more", "it serves, but is degraded: events come late, or other servers can't ask it (replica.url)")
	default:
		e.add(doctor.StatusOK, check, "", "it can serve")
	}
}

// versions compares the server's version to this program's. Where the metrics have
// an address of their own, it isn't told.
func (e *examination) versions(ctx context.Context) {
	const check = "server version"
	status, _, body, err := e.get(ctx, "/metrics")
	_, labels, found := strings.Cut(body, "\nsallyport_build_info{")
	_, value, isTold := strings.Cut(","+labels, `,version="`)
	version, _, _ := strings.Cut(value, `"`)
	switch {
	case err != nil || status != http.StatusOK || !found || !isTold:
		e.add(doctor.StatusOK, check, "", "not told to clients")
	case version != e.version:
		e.add(doctor.StatusWarn, check, "use the same on both sides, where one lacks what the other has",
			"the server is %s, and this program %s", version, e.version)
	default:
		e.add(doctor.StatusOK, check, "", "%s, as this program", version)
	}
}

func (e *examination) token(ctx context.Context, c *client.Client) {
	const check = "token"
	if e.account.token == "" {
		return
	}
	who, err := c.Session(ctx)
	switch {
	case sallyport.CodeOf(err) == sallyport.CodeUnauthenticated:
		e.add(doctor.StatusFail, check, hints{e.account, ""}.of(err), "the server doesn't know it: it was mistyped, revoked, or has expired")
	case err != nil:
		e.add(doctor.StatusFail, check, hints{e.account, ""}.of(err), "%s", plainly(err.Error()))
	default:
		e.add(doctor.StatusOK, check, "", "valid: %s, with %d scopes", who.Actor, len(who.Scopes))
	}
}

// get asks for a path without a token.
func (e *examination) get(ctx context.Context, path string) (status int, header http.Header, body string, err error) {
	const bytesMax = 4 << 20 // more than any of these answers
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url+path, nil)
	if err != nil {
		return 0, nil, "", err
	}
	resp, err := e.http.Do(req)
	if wrapped, ok := errors.AsType[*urls.Error](err); ok {
		err = wrapped.Err // the rest is what was asked, and is said already
	}
	if err != nil {
		return 0, nil, "", err
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(resp.Body, bytesMax))
	return resp.StatusCode, resp.Header, string(text), err
}
