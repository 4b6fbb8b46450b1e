package cli

import (
	"net/http"
	"time"

	"sallyport/client"
)

// Variables of the environment that the commands of a client read.
const (
	envURL     = "SALLYPORT_URL"
	envToken   = "SALLYPORT_TOKEN"
	envProfile = "SALLYPORT_PROFILE"
)

// account is a server and a token for it.
type account struct {
	url, token string
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
	c := client.New(acc.url, acc.token)
	c.Org = a.flags.org
	return c, nil
}

// account finds the server and the token: the environment's when it names both,
// else those of a profile.
func (a *app) account(asAdmin bool) (account, error) {
	url, token := a.env(envURL), a.env(envToken)
	if url != "" && token != "" {
		if a.flags.profile != "" {
			a.warn("%s and %s are set, so profile %s is not used", envURL, envToken, a.flags.profile)
		}
		return account{url, token}, nil
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

func (a *app) profileAccount(asAdmin bool) (account, error) {
	stored, err := a.readProfiles()
	if err != nil {
		return account{}, err
	}
	name := a.profileName()
	if name == "" {
		name = stored.Current
	}
	if name == "" {
		return account{}, &hintedError{errNoServer, "sallyport login, or start a server on this machine: sallyport dev"}
	}
	p, ok := stored.Profiles[name]
	if !ok {
		return account{}, usagef(stored.namesHint(), "there is no profile %q", name)
	}
	if asAdmin && p.AdminToken == "" {
		return account{}, usagef("add one: sallyport login --profile "+name, "profile %q has no admin token", name)
	}
	if asAdmin {
		return account{p.URL, p.AdminToken}, nil
	}
	if p.Token == "" {
		return account{}, usagef("use it with --admin --org NAME", "profile %q has an admin token alone", name)
	}
	return account{p.URL, p.Token}, nil
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
