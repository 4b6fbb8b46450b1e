package known

import (
	"bytes"
	"strings"
)

// NameBytesMax bounds what is looked at of a name: its end, which decides.
const NameBytesMax = 96

// Kind is what a name says of its value.
type Kind uint8

const (
	// Ordinary names hold no secret.
	Ordinary Kind = iota
	// Secret names hold one, whatever the value looks like.
	Secret
	// Key holds a key, or the path of its file, which is none.
	Key
	// Count is a plural, which may be a number of things instead.
	Count
	// Pass is "pass", which may be the number of a pass instead.
	Pass
	// Dir is "pwd", which may be a directory instead.
	Dir
	// Header is a header whose whole line is the secret.
	Header
	// Cookie is such a header too; as a flag it may name a file.
	Cookie
	// Signature is a secret in the query of a URL alone.
	Signature
)

// Form is how a name stands before its value.
type Form uint8

const (
	// Assigned is name=value.
	Assigned Form = iota
	// Spaced is name = value, which code has too.
	Spaced
	// Labelled is name: value.
	Labelled
	// Flagged is a flag whose value is the next word.
	Flagged
)

// KindOf judges a name by its last word that means something. Words are
// separated by _ - . or a change of case.
func KindOf(name string, form Form) Kind {
	if name == "" {
		return Ordinary
	}
	if len(name) > NameBytesMax {
		name = name[len(name)-NameBytesMax:]
	}
	var buf [2 * NameBytesMax]byte
	words := splitName(buf[:0], name)
	if form == Flagged && (switchWords[string(firstWord(words))] || notSecretFlags[string(words)]) {
		return Ordinary
	}
	rest, last := cutLastWord(words)
	for len(rest) > 0 && (neutralWords[string(last)] || isDigits(string(last))) {
		rest, last = cutLastWord(rest)
	}
	last = bytes.TrimRight(last, "0123456789")
	_, before := cutLastWord(rest)
	switch string(last) {
	case "key":
		return keyKind(name, before, form)
	case "token", "tokens":
		if notSecretTokens[string(before)] || string(last) == "tokens" && len(before) == 0 {
			return Ordinary
		}
	case "pass":
		if notSecretPasses[string(before)] {
			return Ordinary
		}
	case "pwd":
		return pwdKind(name, before)
	case "pat":
		if form > Spaced || len(before) == 0 || strings.ToUpper(name) != name {
			return Ordinary
		}
	case "id":
		if form <= Spaced && string(before) == "secret" {
			return Secret
		}
	case "auth":
		return authKind(name, before)
	}
	lower := strings.ToLower(name)
	if k := wordKind(last); k != Ordinary || lower == name {
		return k
	}
	// In pAssWord the change of case separates nothing.
	_, flat := cutLastWord(splitName(buf[:0], lower))
	return wordKind(flat)
}

// wordKind judges one word.
func wordKind(word []byte) Kind {
	if k, ok := wordKinds[string(word)]; ok {
		return k
	}
	return gluedKind(word)
}

// keyKind judges a name that ends in "key", by the word before it.
func keyKind(name string, before []byte, form Form) Kind {
	if secretKeys[string(before)] {
		return Key
	}
	upper := strings.ToUpper(name)
	isVariable := strings.Contains(upper, "_KEY") && !strings.ContainsAny(name, "-.") && len(before) > 0
	isAssigned := form == Assigned || form == Spaced && name == upper
	if isVariable && isAssigned && !notSecretKeys[string(before)] {
		return Key
	}
	return Ordinary
}

// pwdKind judges a name that ends in "pwd": a shell's PWD is none.
func pwdKind(name string, before []byte) Kind {
	switch {
	case string(before) == "old":
		return Ordinary
	case len(before) > 0:
		return Secret
	case name == "PWD":
		return Ordinary
	case name == "Pwd":
		// As in Server=x;Uid=y;Pwd=z.
		return Secret
	}
	return Dir
}

// authKind judges a name that ends in "auth", which rarely is the Secret itself.
func authKind(name string, before []byte) Kind {
	if name == "_auth" || string(before) == "rediscli" {
		return Secret
	}
	return Ordinary
}

// gluedKind judges a word that is several, as in PGPASSWORD.
func gluedKind(word []byte) Kind {
	for _, g := range gluedEnds {
		if bytes.HasSuffix(word, []byte(g.end)) {
			return g.kind
		}
	}
	if bytes.HasSuffix(word, []byte("pwd")) && string(word) != "oldpwd" {
		return Secret
	}
	return Ordinary
}

// splitName appends name to dst in lower case, its words separated by one _.
func splitName(dst []byte, name string) []byte {
	for i := range len(name) {
		c := name[i]
		if !isAlnum(c) {
			if len(dst) > 0 && dst[len(dst)-1] != '_' {
				dst = append(dst, '_')
			}
			continue
		}
		if i > 0 && isUpper(c) && beginsWord(name, i) && dst[len(dst)-1] != '_' {
			dst = append(dst, '_')
		}
		if isUpper(c) {
			c |= 0x20
		}
		dst = append(dst, c)
	}
	return bytes.TrimRight(dst, "_")
}

// beginsWord tells whether the capital at i begins a word: apiKey, APIKey.
func beginsWord(name string, i int) bool {
	before := name[i-1]
	if isLower(before) || isDigit(before) {
		return true
	}
	return isUpper(before) && i+1 < len(name) && isLower(name[i+1])
}

func cutLastWord(words []byte) (rest, last []byte) {
	i := bytes.LastIndexByte(words, '_')
	if i < 0 {
		return nil, words
	}
	return words[:i], words[i+1:]
}

func firstWord(words []byte) []byte {
	first, _, _ := bytes.Cut(words, []byte{'_'})
	return first
}

// Holds tells whether value, of a name of this kind, is a secret.
func (k Kind) Holds(value string) bool {
	if value == "" || k == Ordinary || IsSwitch(value) {
		return false
	}
	switch k {
	case Key:
		return !IsPath(value)
	case Count:
		return !isDigits(value) && !IsPath(value)
	case Pass:
		return len(value) > 1 || !isDigits(value)
	case Dir:
		return value[0] != '/' && !IsPath(value) && !strings.HasPrefix(value, "$(")
	}
	return true
}

// HoldsAfterFlag tells the same of the word after a flag.
func (k Kind) HoldsAfterFlag(value string) bool {
	if k == Cookie && !strings.Contains(value, "=") {
		return false
	}
	return k != Signature && k.Holds(value)
}

// IsSwitch tells whether value only turns something on or off.
func IsSwitch(value string) bool {
	if len(value) > len("false") {
		return false
	}
	switch strings.ToLower(value) {
	case "true", "false", "yes", "no", "null", "none", "nil":
		return true
	}
	return false
}

// IsPath tells whether value surely names a file. Base64 may hold slashes too,
// so a path must begin as paths do.
func IsPath(value string) bool {
	for i := range len(value) {
		if c := value[i]; !isNameChar(c) && c != '/' && c != '~' && c < 0x80 {
			return false
		}
	}
	for _, begin := range pathBegins {
		if strings.HasPrefix(value, begin) {
			return true
		}
	}
	return false
}
