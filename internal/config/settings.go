package config

import (
	"slices"
	"strconv"
	"strings"
)

// Hidden is shown in place of a secret.
const Hidden = "[hidden]"

// Setting is the value in force of one key.
type Setting struct {
	Key string
	// Value is as it would be typed in the environment; "[hidden]" for a secret
	// that is set, empty for what is not.
	Value string
	// Source is "default", "file PATH", "environment SALLYPORT_X", "flag --x", or
	// "generated" for what dev makes at its start.
	Source string
}

// Settings returns every key of the configuration with its value in force, in
// the order of the reference. None of them is a secret.
func (l *Loaded) Settings() []Setting { return slices.Clone(l.settings) }

func (l *loading) settings() []Setting {
	settings := make([]Setting, 0, len(l.keys))
	for _, k := range l.keys {
		v := l.inForce[k.name]
		switch {
		case l.isMade(k) && k.secret:
			settings = append(settings, Setting{k.name, Hidden, "generated"})
		case l.isMade(k):
			settings = append(settings, Setting{k.name, "", sourceDefault})
		default:
			settings = append(settings, Setting{k.name, k.show(v), v.source})
		}
	}
	return settings
}

// show returns a checked value for everyone to see; a secret is gone by now.
func (k key) show(v value) string {
	if b, err := strconv.ParseBool(v.text); err == nil && k.kind == kindBool {
		return strconv.FormatBool(b)
	}
	return v.String()
}

// Flag is a flag that sets a key.
type Flag struct {
	// Key is the key in LoadOptions.Flags.
	Key string
	// Name is the flag's, without its dashes.
	Name string
	// Meaning is a sentence for the help text.
	Meaning string
	// Placeholder stands for the value in a help text, such as FILE.
	Placeholder string
	// Default is the value without the flag; empty for none.
	Default string
	// IsBool flags may be given without a value, which is then "true".
	IsBool bool
}

// Flags returns the flags of a command that set a key, in the order of the
// reference.
func Flags(mode Mode) []Flag {
	var flags []Flag
	for _, k := range allKeys() {
		if k.hasFlag(mode) {
			// Back quotes are for Markdown; in a help text they may mean something else.
			meaning := strings.ReplaceAll(k.meaning, "`", "")
			flags = append(flags, Flag{
				Key: k.name, Name: k.flag, Meaning: meaning, Placeholder: k.placeholder, Default: k.byDefault(mode), IsBool: k.kind == kindBool,
			})
		}
	}
	return flags
}

// byDefault is the default as the reference has it.
func (k key) byDefault(mode Mode) string {
	if mode == ModeDev {
		return k.dev
	}
	return k.server
}
