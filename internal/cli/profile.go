package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

var (
	errNoServer  = errors.New("no server is known")
	errNoCurrent = errors.New("no profile is the current one")
	errNoToken   = errors.New("there is no such token")
	errNoHome    = errors.New("find the profiles: neither XDG_CONFIG_HOME nor HOME is set")
)

// profile is a server and what its user may present there.
type profile struct {
	URL string `json:"url"`
	// Token is an organisation's, or a workspace's.
	Token      string `json:"token,omitempty"`
	AdminToken string `json:"admin_token,omitempty"`
	// CACert holds the certificates, in PEM, that vouch for the server; empty is those
	// that this machine trusts.
	CACert string `json:"ca_cert,omitempty"`
}

// profiles is the file of profiles.
type profiles struct {
	Current  string             `json:"current"`
	Profiles map[string]profile `json:"profiles"`
}

func (p profiles) namesHint() string {
	if len(p.Profiles) == 0 {
		return "there is none yet: sallyport login"
	}
	return "there are: " + strings.Join(slices.Sorted(maps.Keys(p.Profiles)), ", ")
}

// checkProfileName keeps names to what needs no quoting anywhere.
func checkProfileName(name string) error {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	if name == "" || len(name) > 63 || strings.Trim(name, allowed) != "" || name[0] == '-' {
		return usagef("for example: staging", "%q is no name for a profile: it takes 1 to 63 letters, digits, dots, dashes and underscores", name)
	}
	return nil
}

// profilesPath is where the profiles are: in XDG_CONFIG_HOME, or where
// os.UserConfigDir looks.
func (a *app) profilesPath() (string, error) {
	dir := a.env("XDG_CONFIG_HOME")
	if !filepath.IsAbs(dir) {
		home := a.env("HOME")
		switch {
		case home == "":
			return "", errNoHome
		case runtime.GOOS == "darwin":
			dir = filepath.Join(home, "Library", "Application Support")
		default:
			dir = filepath.Join(home, ".config")
		}
	}
	return filepath.Join(dir, "sallyport", "profiles.json"), nil
}

// readProfiles returns the profiles; none when there is no file yet.
func (a *app) readProfiles() (profiles, error) {
	stored := profiles{Profiles: map[string]profile{}}
	path, err := a.profilesPath()
	if err != nil {
		return stored, err
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return stored, nil
	}
	if err != nil {
		return stored, fmt.Errorf("read the profiles: %w", err)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		a.warn("others can read or write %s, which holds tokens: chmod 600 %[1]s", path)
	}
	if err := json.Unmarshal(text, &stored); err != nil {
		return stored, &hintedError{fmt.Errorf("read the profiles: %s: %w", path, err), "mend it, or remove it and log in again"}
	}
	if stored.Profiles == nil {
		stored.Profiles = map[string]profile{}
	}
	return stored, nil
}

// changeProfiles reads the profiles, has them changed, and writes them for their
// owner alone: whole or not at all. It returns where they are.
func (a *app) changeProfiles(change func(*profiles)) (path string, err error) {
	path, err = a.profilesPath()
	if err != nil {
		return "", err
	}
	stored, err := a.readProfiles()
	if err != nil {
		return "", err
	}
	change(&stored)
	text, err := json.MarshalIndent(stored, "", "  ")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("write the profiles: %w", err)
	}
	if err := replaceFile(path, append(text, '\n')); err != nil {
		return "", fmt.Errorf("write the profiles: %w", err)
	}
	return path, nil
}

// replaceFile puts a file with mode 0600 in the place of another. A link is
// followed: people keep their configuration elsewhere.
func replaceFile(path string, text []byte) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".profiles-*") // 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // which fails once it has its new name
	_, err = tmp.Write(text)
	if err == nil {
		err = tmp.Sync()
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
