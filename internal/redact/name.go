package redact

import (
	"bytes"
	"strings"
)

// nameBytesMax bounds what is looked at of a name: its end, which decides.
const nameBytesMax = 96

// nameKind is what a name says of its value.
type nameKind uint8

const (
	// ordinary names hold no secret.
	ordinary nameKind = iota
	// secret names hold one, whatever the value looks like.
	secret
	// keyName holds a key, or the path of its file, which is none.
	keyName
	// countName is a plural, which may be a number of things instead.
	countName
	// passName is "pass", which may be the number of a pass instead.
	passName
	// dirName is "pwd", which may be a directory instead.
	dirName
	// headerName is a header whose whole line is the secret.
	headerName
	// cookieName is such a header too; as a flag it may name a file.
	cookieName
	// signatureName is a secret in the query of a URL alone.
	signatureName
)

// nameForm is how a name stands before its value.
type nameForm uint8

const (
	// formAssigned is name=value.
	formAssigned nameForm = iota
	// formSpaced is name = value, which code has too.
	formSpaced
	// formHeader is name: value.
	formHeader
	// formFlag is a flag whose value is the next word.
	formFlag
)

// kindOf judges a name by its last word that means something. Words are
// separated by _ - . or a change of case.
func kindOf(name string, form nameForm) nameKind {
	if name == "" {
		return ordinary
	}
	if len(name) > nameBytesMax {
		name = name[len(name)-nameBytesMax:]
	}
	var buf [2 * nameBytesMax]byte
	words := splitName(buf[:0], name)
	if form == formFlag && (switchWords[string(firstWord(words))] || notSecretFlags[string(words)]) {
		return ordinary
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
			return ordinary
		}
	case "pass":
		if notSecretPasses[string(before)] {
			return ordinary
		}
	case "pwd":
		return pwdKind(name, before)
	case "pat":
		if form > formSpaced || len(before) == 0 || strings.ToUpper(name) != name {
			return ordinary
		}
	case "id":
		if form <= formSpaced && string(before) == "secret" {
			return secret
		}
	case "auth":
		return authKind(name, before)
	}
	lower := strings.ToLower(name)
	if k := wordKind(last); k != ordinary || lower == name {
		return k
	}
	// In pAssWord the change of case separates nothing.
	_, flat := cutLastWord(splitName(buf[:0], lower))
	return wordKind(flat)
}

// wordKind judges one word.
func wordKind(word []byte) nameKind {
	if k, ok := wordKinds[string(word)]; ok {
		return k
	}
	return gluedKind(word)
}

// keyKind judges a name that ends in "key", by the word before it.
func keyKind(name string, before []byte, form nameForm) nameKind {
	if secretKeys[string(before)] {
		return keyName
	}
	upper := strings.ToUpper(name)
	isVariable := strings.Contains(upper, "_KEY") && !strings.ContainsAny(name, "-.") && len(before) > 0
	isAssigned := form == formAssigned || form == formSpaced && name == upper
	if isVariable && isAssigned && !notSecretKeys[string(before)] {
		return keyName
	}
	return ordinary
}

// pwdKind judges a name that ends in "pwd": a shell's PWD is none.
func pwdKind(name string, before []byte) nameKind {
	switch {
	case string(before) == "old":
		return ordinary
	case len(before) > 0:
		return secret
	case name == "PWD":
		return ordinary
	case name == "Pwd":
		// As in Server=x;Uid=y;Pwd=z.
		return secret
	}
	return dirName
}

// authKind judges a name that ends in "auth", which rarely is the secret itself.
func authKind(name string, before []byte) nameKind {
	if name == "_auth" || string(before) == "rediscli" {
		return secret
	}
	return ordinary
}

// gluedKind judges a word that is several, as in PGPASSWORD.
func gluedKind(word []byte) nameKind {
	for _, g := range gluedEnds {
		if bytes.HasSuffix(word, []byte(g.end)) {
			return g.kind
		}
	}
	if bytes.HasSuffix(word, []byte("pwd")) && string(word) != "oldpwd" {
		return secret
	}
	return ordinary
}

// splitName appends name to dst in lower case, its words separated by one _.
func splitName(dst []byte, name string) []byte {
	for i := range len(name) {
		c := name[i]
		if !is(c, classAlnum) {
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

// holds tells whether value, of a name of this kind, is a secret.
func (k nameKind) holds(value string) bool {
	if value == "" || k == ordinary || isSwitch(value) {
		return false
	}
	switch k {
	case keyName:
		return !isPath(value)
	case countName:
		return !isDigits(value) && !isPath(value)
	case passName:
		return len(value) > 1 || !isDigits(value)
	case dirName:
		return value[0] != '/' && !isPath(value) && !strings.HasPrefix(value, "$(")
	}
	return true
}

// holdsAfterFlag tells the same of the word after a flag.
func (k nameKind) holdsAfterFlag(value string) bool {
	if k == cookieName && !strings.Contains(value, "=") {
		return false
	}
	return k != signatureName && k.holds(value)
}

// isSwitch tells whether value only turns something on or off.
func isSwitch(value string) bool {
	if len(value) > len("false") {
		return false
	}
	switch strings.ToLower(value) {
	case "true", "false", "yes", "no", "null", "none", "nil":
		return true
	}
	return false
}

// isPath tells whether value surely names a file. Base64 may hold slashes too,
// so a path must begin as paths do.
func isPath(value string) bool {
	for i := range len(value) {
		if c := value[i]; !is(c, className) && c != '/' && c != '~' && c < 0x80 {
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
