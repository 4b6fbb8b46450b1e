package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"sallyport"
	"sallyport/client"
)

// defaultProfile is the profile that login writes when none is named.
const defaultProfile = "default"

// tokenBytesMax bounds what is read as a token.
const tokenBytesMax = 4096

type loginFlags struct {
	url       string
	fromStdin bool
}

func (a *app) newLogin() *cobra.Command {
	var f loginFlags
	cmd := &cobra.Command{
		Use:   "login",
		Short: "Keep a server's URL and a token for the other commands",
		Long: `Asks for the URL of a server and a token, tries them, and keeps them as a profile,
which becomes the current one. The file of profiles is its owner's alone.

A profile can hold two tokens: one of an organisation or a workspace, and the
admin's. Log in once with each; which of them a token is, the server tells.`,
		Example: `  sallyport login
  sallyport login --url https://sallyport.example.com --profile work
  sallyport login --url http://127.0.0.1:8080 --token-stdin < token`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.login(cmd.Context(), f) },
	}
	cmd.Flags().StringVar(&f.url, "url", "", "the server's `URL`; asked for when it is not given")
	cmd.Flags().BoolVar(&f.fromStdin, "token-stdin", false, "read the token from stdin, and ask nothing")
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
	url, token, err := a.askLogin(ctx, f)
	if err != nil {
		return err
	}
	c := client.New(url, token)
	defer c.Close()
	c.HTTPClient = &http.Client{Transport: c.HTTPClient.Transport, Timeout: callTime}
	who, err := c.Session(ctx)
	if sallyport.CodeOf(err) == sallyport.CodeUnauthenticated {
		return &hintedError{err, "check that the token is whole, and that it is one of this server's"}
	}
	if err != nil {
		return err
	}
	path, err := a.changeProfiles(func(stored *profiles) { stored.logIn(name, url, token, who) })
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Stderr, "logged in to %s as %s; profile %s in %s is the current one\n",
		visible(url), visible(who.Actor), name, visible(path))
	a.warnOfEnvironment()
	return nil
}

// logIn keeps a token that was tried. The profile's other token stays when it is
// for the same server.
func (p *profiles) logIn(name, url, token string, who sallyport.Session) {
	kept := p.Profiles[name]
	if kept.URL != url {
		kept = profile{URL: url}
	}
	if who.OrgID == "" && who.WorkspaceID == "" {
		kept.AdminToken = token
	} else {
		kept.Token = token
	}
	p.Profiles[name] = kept
	p.Current = name
}

// askLogin reads the URL and the token from where the flags say, or the terminal.
func (a *app) askLogin(ctx context.Context, f loginFlags) (url, token string, err error) {
	const see = "without a terminal: sallyport login --url URL --token-stdin < FILE"
	terminal, isTerminal := openTerminal(a.Stdin)
	in := bufio.NewReaderSize(a.Stdin, tokenBytesMax)
	url = f.url
	if url == "" && (!isTerminal || f.fromStdin) {
		return "", "", usagef(see, "--url is missing")
	}
	if url == "" {
		fmt.Fprint(a.Stderr, "URL of the server: ")
		if url, err = readLine(ctx, in); err != nil {
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
