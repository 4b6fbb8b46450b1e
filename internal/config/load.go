package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// devDataDir is dev's default data directory, as the reference names it.
const devDataDir = "$XDG_DATA_HOME/sallyport/dev"

const (
	sourceDefault = "default"
	sourceFlag    = "flag --" // and its name
)

// value is the value of one key in one source.
type value struct {
	text string
	// items are the elements of a list; text is empty then.
	items []string
	// source is as Setting has it.
	source string
	// line is the line of the file; 0 in other sources.
	line int
}

// where names the source for a person who has to mend it.
func (v value) where() string {
	if v.line > 0 {
		return fmt.Sprintf("%s, line %d", v.source, v.line)
	}
	return v.source
}

// String returns the value as it would be typed in the environment.
func (v value) String() string {
	if v.items != nil {
		return strings.Join(v.items, ",")
	}
	return v.text
}

// isSet tells whether the value is anything but the empty one.
func (v value) isSet() bool { return v.text != "" || len(v.items) > 0 }

// layer holds the values of one source, by key.
type layer map[string]value

// loading is a configuration while it is put together.
type loading struct {
	options LoadOptions
	env     func(string) (string, bool)
	keys    []key
	config  Config
	// inForce holds the last value of every key.
	inForce layer
}

func newLoading(o LoadOptions) *loading {
	env := o.Env
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}
	return &loading{options: o, env: env, keys: allKeys(), config: Config{Mode: o.Mode}, inForce: layer{}}
}

// apply checks the values of a layer, in the order of the table, and puts them
// over those of the layers before it.
func (l *loading) apply(values layer) error {
	for _, k := range l.keys {
		v, ok := values[k.name]
		if !ok || l.isMade(k) {
			continue
		}
		if err := k.set(&l.config, v); err != nil {
			return k.fault(v, err)
		}
		if k.secret && v.isSet() {
			v.text = Hidden // later code only asks whether there is one
		}
		l.inForce[k.name] = v
	}
	return nil
}

// isMade tells whether dev makes the value of k, and so takes no other.
func (l *loading) isMade(k key) bool { return k.madeInDev && l.options.Mode == ModeDev }

func (l *loading) readDefaults() (layer, error) {
	values := layer{}
	for _, k := range l.keys {
		text := k.server
		if l.options.Mode == ModeDev {
			text = k.dev
		}
		if text == devDataDir {
			text = l.findDevDataDir()
		}
		values[k.name] = k.value(text, sourceDefault)
	}
	return values, nil
}

// findDevDataDir follows the XDG Base Directory Specification, by which a
// relative path counts as none. It returns "" when there is no home either.
func (l *loading) findDevDataDir() string {
	if data, _ := l.env("XDG_DATA_HOME"); filepath.IsAbs(data) {
		return filepath.Join(data, "sallyport", "dev")
	}
	if home, _ := l.env("HOME"); home != "" {
		return filepath.Join(home, ".local", "share", "sallyport", "dev")
	}
	return ""
}

func (l *loading) readEnv() (layer, error) {
	values := layer{}
	for _, k := range l.keys {
		if text, ok := l.env(k.env); ok && text != "" {
			values[k.name] = k.value(text, "environment "+k.env)
		}
	}
	return values, nil
}

func (l *loading) readFlags() (layer, error) {
	values := layer{}
	for _, name := range slices.Sorted(maps.Keys(l.options.Flags)) {
		i := slices.IndexFunc(l.keys, func(k key) bool { return k.name == name })
		if i < 0 || !l.keys[i].hasFlag(l.options.Mode) {
			return nil, fmt.Errorf("%s is no flag of %s", name, l.options.Mode)
		}
		values[name] = l.keys[i].value(l.options.Flags[name], sourceFlag+l.keys[i].flag)
	}
	return values, nil
}

func (k key) hasFlag(mode Mode) bool {
	return k.flag != "" && !(k.serverFlag && mode == ModeDev)
}

// value reads a value from where there is only text.
func (k key) value(text, source string) value {
	if k.kind != kindList {
		return value{text: text, source: source}
	}
	v := value{source: source, items: []string{}}
	if text != "" {
		for item := range strings.SplitSeq(text, ",") {
			v.items = append(v.items, strings.TrimSpace(item))
		}
	}
	return v
}
