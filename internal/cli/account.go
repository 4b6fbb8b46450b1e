package cli

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"strings"
	"time"

	"sallyport/client"
)

// Variables of the environment that the commands of a client read.
const (
	envURL     = "SALLYPORT_URL"
	envToken   = "SALLYPORT_TOKEN"
	envCACert  = "SALLYPORT_CA_CERT"
	envProfile = "SALLYPORT_PROFILE"
)

// account is a server and a token for it.
type account struct {
	url, token string
	// caCert holds the certificates, in PEM, that vouch for the server; empty is those
	// that this machine trusts.
	caCert string
	// profile is the profile that it is from; empty is the environment.
	profile string
}

// callTime bounds one call of the API that is not an exec.
const callTime = time.Minute

// api is a client and the JSON of its last answer.
type api struct {
	*client.Client
	answer []byte
}

// newAPI returns a client for the account in force; asAdmin is for commands that
// are the admin's alone.
func (a *app) newAPI(asAdmin bool) (*api, error) {
	c, err := a.newClient(asAdmin)
	if err != nil {
		return nil, err
	}
	c.HTTPClient = &http.Client{Transport: c.HTTPClient.Transport, Timeout: callTime}
	api := &api{Client: c}
	c.OnAnswer = func(json []byte) { api.answer = json }
	return api, nil
}

func (a *app) newClient(asAdmin bool) (*client.Client, error) {
	acc, err := a.account(asAdmin || a.flags.admin)
	if err != nil {
		return nil, err
	}
	c, err := a.clientOf(acc)
	if err != nil {
		return nil, err
	}
	c.Org = a.flags.org
	return c, nil
}

// clientOf returns a client for an account, which errors are then hinted for.
func (a *app) clientOf(acc account) (*client.Client, error) {
	a.used = acc
	c := client.New(acc.url, acc.token)
	transport, err := acc.transport(c)
	if err != nil {
		return nil, err
	}
	c.HTTPClient.Transport = &waitTransport{Transport: transport, app: a}
	return c, nil
}

// transport is that of the client, trusting the account's certificates and no others.
func (acc account) transport(c *client.Client) (*http.Transport, error) {
	transport := c.HTTPClient.Transport.(*http.Transport)
	if acc.caCert == "" {
		return transport, nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(acc.caCert)) {
		return nil, usagef("log in again with --ca-cert FILE", "the CA's file for %s holds no certificate in PEM", acc.url)
	}
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return transport, nil
}

// account finds the server and the token: the environment's when it names both,
// else those of a profile.
func (a *app) account(asAdmin bool) (account, error) {
	url, token := strings.TrimSpace(a.env(envURL)), strings.TrimSpace(a.env(envToken))
	if url != "" && token != "" {
		if a.flags.profile != "" {
			a.warn("%s and %s are set, so profile %s is not used", envURL, envToken, a.flags.profile)
		}
		if a.flags.admin {
			a.warn("%s and %s are set, so a profile's admin token is not used", envURL, envToken)
		}
		caCert, err := readCACert(a.env(envCACert))
		return account{url: url, token: token, caCert: caCert}, err
	}
	if url != "" || token != "" {
		a.warn("%s and %s go together, and one of them is not set: both are left aside", envURL, envToken)
	}
	return a.profileAccount(asAdmin)
}

// warnOfEnvironment tells who has just got a profile that it may not be used.
func (a *app) warnOfEnvironment() {
	if a.env(envURL) != "" && a.env(envToken) != "" {
		a.warn("where %s and %s are set, as here, they go before every profile", envURL, envToken)
	}
}

// readCACert returns certificates in PEM: those that text holds, or the file that it
// names.
func readCACert(text string) (string, error) {
	if text == "" || strings.Contains(text, "-----BEGIN") {
		return text, nil
	}
	pem, err := os.ReadFile(text)
	if err != nil {
		return "", &hintedError{err, envCACert + " takes a file of certificates, or the certificates, in PEM"}
	}
	return string(pem), nil
}

// profileAccount is the account of the profile that is asked for, or the current one.
func (a *app) profileAccount(asAdmin bool) (account, error) {
	name, p, err := a.findProfile()
	if err != nil {
		return account{}, err
	}
	acc := account{url: p.URL, token: p.Token, caCert: p.CACert, profile: name}
	switch {
	case asAdmin && p.AdminToken == "":
		return account{}, usagef("add one: sallyport login --profile "+name, "profile %q has no admin token", name)
	case asAdmin:
		acc.token = p.AdminToken
	case p.Token == "":
		return account{}, usagef("use it with --admin --org NAME", "profile %q has an admin token alone", name)
	}
	return acc, nil
}

// findProfile returns the profile that is asked for, or the current one.
func (a *app) findProfile() (name string, p profile, err error) {
	stored, err := a.readProfiles()
	if err != nil {
		return "", profile{}, err
	}
	if name = a.profileName(); name == "" {
		name = stored.Current
	}
	if name == "" && len(stored.Profiles) > 0 {
		return "", profile{}, &hintedError{errNoCurrent, "choose one: sallyport profiles use NAME; " + stored.namesHint()}
	}
	if name == "" {
		return "", profile{}, &hintedError{errNoServer, "sallyport login, or start a server on this machine: sallyport dev"}
	}
	p, ok := stored.Profiles[name]
	if !ok {
		return "", profile{}, usagef(stored.namesHint(), "there is no profile %q", name)
	}
	return name, p, nil
}

// profileName is the profile that is asked for; "" is the current one.
func (a *app) profileName() string {
	if a.flags.profile != "" {
		return a.flags.profile
	}
	return a.env(envProfile)
}

// env is a variable of the environment; "" when it is not set.
func (a *app) env(name string) string {
	value, _ := a.Env(name)
	return value
}
