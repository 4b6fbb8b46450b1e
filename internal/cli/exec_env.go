package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"sallyport/internal/limits"
)

// execEnv reads the files of --env-file, and then --env, which wins. As docker has it,
// K alone takes the value that K has here, and sets nothing when it has none.
func (a *app) execEnv(f *execFlags) (map[string]string, error) {
	env := map[string]string{}
	for _, name := range f.envFiles {
		assignments, err := readEnvFile(name)
		if err != nil {
			return nil, err
		}
		for _, assignment := range assignments {
			if err := a.setEnv(env, "--env-file "+name, assignment); err != nil {
				return nil, err
			}
		}
	}
	for _, assignment := range f.env {
		if err := a.setEnv(env, "--env", assignment); err != nil {
			return nil, err
		}
	}
	return env, nil
}

// setEnv sets one variable. The message of an error doesn't show the value, which may
// be a secret.
func (a *app) setEnv(env map[string]string, where, assignment string) error {
	name, value, given := strings.Cut(assignment, "=")
	if name == "" {
		return usagef("for example: STAGE=blue", "%s: an assignment names no variable", where)
	}
	if !given {
		if value, given = a.Env(name); !given {
			return nil
		}
	}
	env[name] = value
	return nil
}

// readEnvFile returns the assignments in a file as docker reads it: one a line, taken
// as it is but for the blanks before it; empty lines and those that begin with # are
// none.
func readEnvFile(name string) ([]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("--env-file: %w", err)
	}
	defer f.Close()
	var assignments []string
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, limits.BodyBytesMax)
	for lines.Scan() {
		line := bytes.TrimLeft(bytes.TrimPrefix(lines.Bytes(), []byte("\ufeff")), " \t")
		if len(line) > 0 && line[0] != '#' {
			assignments = append(assignments, string(line))
		}
	}
	err = lines.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		return nil, usagef("it takes one K=V a line", "--env-file %s has a line of more than %d bytes", name, limits.BodyBytesMax)
	}
	if err != nil {
		return nil, fmt.Errorf("--env-file %s: %w", name, err)
	}
	return assignments, nil
}
