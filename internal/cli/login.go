package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/client/sallyport"
)

// defaultProfile is the profile that login writes when none is named.
const defaultProfile = "default"

// tokenBytesMax bounds what is read as a token.
const tokenBytesMax = 4096

type loginFlags struct {
	url       string
	fromStdin bool
	caFile    string
}

func (a *app) newLogin() *cobra.Command {
	var f loginFlags
	cmd := &cobra.Command{
		Use:   "login",
		Short: "Keep a server's URL and a token for the other commands",
		Long: `Asks for the URL of a server and a token, tries them, and keeps them as a profile,
which becomes the current one. The file of profiles is its owner's alone.

A profile can hold two tokens: one of an organisation or a workspace, and the
admin's. Log in once with each: the server knows which of them a token is.

With --ca-cert the profile keeps the certificates of a CA of your own, which alone
vouch for the server from then on.`,
		Example: `  sallyport login
  sallyport login --url https://sallyport.example --profile work
  sallyport login --url https://sallyport.example --ca-cert ca.pem
  sallyport login --url http://127.0.0.1:8080 --token-stdin < token`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.login(cmd.Context(), f) },
	}
	cmd.Flags().StringVar(&f.url, "url", "", "the server's `URL`; asked for when it is not given")
	cmd.Flags().BoolVar(&f.fromStdin, "token-stdin", false, "read the token from stdin, and ask nothing")
	cmd.Flags().StringVar(&f.caFile, "ca-cert", "", "keep the certificates in this `FILE`, in PEM, and trust no others for the server")
	complete(cmd, "url", cobra.NoFileCompletions)
	return cmd
}

func (a *app) login(ctx context.Context, f loginFlags) error {
	name := a.profileName()
	if name == "" {
		name = defaultProfile
	}
	if err := checkProfileName(name); err != nil {
		return err
	}
	acc, err := a.askLogin(ctx, f, name)
	if err != nil {
		return err
	}
	c, err := a.clientOf(acc)
	if err != nil {
		return err
	}
	defer c.Close()
	c.HTTPClient = &http.Client{Transport: c.HTTPClient.Transport, Timeout: callTime}
	who, err := c.Session(ctx)
	if sallyport.CodeOf(err) == sallyport.CodeUnauthenticated {
		return &hintedError{err, "check that the token is whole, and that it is one of this server's"}
	}
	if err != nil {
		return err
	}
	path, err := a.changeProfiles(func(stored *profiles) { stored.logIn(acc, who) })
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Stderr, "logged in to %s as %s; profile %s in %s is the current one\n",
		visible(acc.url), visible(who.Actor), name, visible(path))
	a.warnOfEnvironment()
	return nil
}

// logIn keeps a token that was tried. The profile's other token stays when it is
// for the same server.
func (p *profiles) logIn(acc account, who sallyport.Session) {
	kept := p.Profiles[acc.profile]
	if kept.URL != acc.url {
		kept = profile{URL: acc.url}
	}
	kept.CACert = acc.caCert
	if who.OrgID == "" && who.WorkspaceID == "" {
		kept.AdminToken = acc.token
	} else {
		kept.Token = acc.token
	}
	p.Profiles[acc.profile] = kept
	p.Current = acc.profile
}

// askLogin reads the URL and the token from where the flags say, or the terminal. A URL
// that the profile has already is kept, and so are the certificates that vouch for it.
func (a *app) askLogin(ctx context.Context, f loginFlags, name string) (account, error) {
	stored, err := a.readProfiles()
	if err != nil {
		return account{}, err
	}
	acc := account{profile: name}
	if acc.url, acc.token, err = a.askAccount(ctx, f, stored.Profiles[name].URL); err != nil {
		return account{}, err
	}
	if acc.url == stored.Profiles[name].URL {
		acc.caCert = stored.Profiles[name].CACert
	}
	if f.caFile == "" {
		return acc, nil
	}
	pem, err := os.ReadFile(f.caFile)
	acc.caCert = string(pem)
	if err == nil && acc.caCert == "" {
		err = usagef("it takes certificates in PEM", "--ca-cert %s is empty", f.caFile)
	}
	return acc, err
}

// askAccount reads the URL and the token. The URL that is known is offered to a person.
func (a *app) askAccount(ctx context.Context, f loginFlags, known string) (url, token string, err error) {
	const see = "without a terminal: sallyport login --url URL --token-stdin < FILE"
	terminal, isTerminal := openTerminal(a.Stdin)
	in := bufio.NewReaderSize(a.Stdin, tokenBytesMax)
	url = f.url
	if url == "" && (!isTerminal || f.fromStdin) {
		return "", "", usagef(see, "--url is missing")
	}
	if url == "" {
		if url, err = a.askURL(ctx, in, known); err != nil {
			return "", "", err
		}
	}
	switch {
	case f.fromStdin:
		token, err = readLine(ctx, in)
	case !isTerminal:
		return "", "", usagef(see, "there is no terminal to ask for the token")
	default:
		fmt.Fprint(a.Stderr, "Token (it is not shown): ")
		token, err = terminal.readSecret(ctx, in)
		fmt.Fprintln(a.Stderr)
	}
	if err == nil && token == "" {
		err = usagef(see, "the token is empty")
	}
	return strings.TrimRight(url, "/"), token, err
}

func (a *app) askURL(ctx context.Context, in *bufio.Reader, known string) (string, error) {
	if known == "" {
		fmt.Fprint(a.Stderr, "URL of the server: ")
		return readLine(ctx, in)
	}
	fmt.Fprintf(a.Stderr, "URL of the server (Enter for %s): ", visible(known))
	url, err := readLine(ctx, in)
	return cmp.Or(url, known), err
}

// readLine reads a line, without the blanks around it. When ctx ends first, the
// Read that is under way is left behind: it can't be interrupted.
func readLine(ctx context.Context, in *bufio.Reader) (string, error) {
	type read struct {
		line []byte
		err  error
	}
	got := make(chan read, 1)
	go func() {
		line, err := in.ReadSlice('\n')
		got <- read{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case r := <-got:
		if errors.Is(r.err, bufio.ErrBufferFull) {
			return "", fmt.Errorf("read stdin: a line of more than %d bytes", tokenBytesMax)
		}
		if r.err != nil && !errors.Is(r.err, io.EOF) {
			return "", fmt.Errorf("read stdin: %w", r.err)
		}
		return strings.TrimSpace(string(r.line)), nil
	}
}
