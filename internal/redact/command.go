package redact

import (
	"strings"

	"sallyport/internal/redact/known"
)

// wrappersMax bounds commands that run commands that run commands.
const wrappersMax = 8

// A command is an argv in which the secrets of known programs are looked for.
type command struct {
	words []string
	hits  []hit
	// depth is how many scripts are around it.
	depth int
	// roles are those of the words; nil where all are data.
	roles []role
}

func (c *command) role(i int) role {
	if c.roles == nil {
		return roleData
	}
	return c.roles[i]
}

// setRole notes how the word i is read.
func (c *command) setRole(i int, r role) {
	if i >= len(c.words) {
		return
	}
	if c.roles == nil {
		c.roles = make([]role, len(c.words))
	}
	c.roles[i] = r
}

// findNames finds what names tell of the words after them.
func (c *command) findNames() {
	for i, w := range c.words {
		if len(w) > 2 && w[0] == '-' {
			c.flag(i)
		}
		if len(w) > 2 && w[len(w)-1] == ':' {
			c.header(i)
		}
		if c.depth > 0 && i > 0 && i+1 < len(c.words) && isAssigning(w) {
			c.spaced(i)
		}
	}
}

// findPrograms finds what programs tell of their arguments.
func (c *command) findPrograms() {
	for i, depth := 0, 0; i < len(c.words) && depth < wrappersMax; {
		if isAssignment(c.words[i]) || known.IsKeyword(c.words[i]) {
			i++
			continue
		}
		i = c.program(i)
		depth++
	}
}

// mask masks the word i from the byte from on.
func (c *command) mask(i, from int) {
	if i < len(c.words) && from < len(c.words[i]) {
		c.hits = append(c.hits, hit{i, span{from, len(c.words[i])}})
	}
}

// flag masks the word after the flag at i, when its name says that it holds a secret.
func (c *command) flag(i int) {
	name := strings.TrimPrefix(strings.TrimPrefix(c.words[i], "-"), "-")
	if i+1 == len(c.words) || !isFlagName(name) {
		return
	}
	value := c.words[i+1]
	kind := known.KindOf(name, known.Flagged)
	if kind != known.Ordinary && !isFlag(value) && kind.HoldsAfterFlag(value) && !isReference(value) {
		c.mask(i+1, 0)
	}
}

// header masks the words after a header that was split at its blanks:
// Authorization: Bearer X.
func (c *command) header(i int) {
	kind := known.KindOf(strings.TrimSuffix(c.words[i], ":"), known.Labelled)
	if kind == known.Header && i+2 < len(c.words) && known.IsScheme(strings.ToLower(c.words[i+1])) {
		i++
	}
	if i+1 < len(c.words) && kind.Holds(c.words[i+1]) && kind != known.Signature {
		c.mask(i+1, 0)
	}
}

// spaced masks the word after the = at i: [ "$TOKEN" = x ].
func (c *command) spaced(i int) {
	name := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(c.words[i-1], "$"), "{"), "}")
	kind := known.KindOf(name, known.Spaced)
	if kind != known.Signature && kind.Holds(c.words[i+1]) {
		c.mask(i+1, 0)
	}
}

// isAssigning reports whether a word stands between a name and its value.
func isAssigning(word string) bool {
	switch word {
	case "=", "==", "!=", ":=", "=~", "+=", "?=", "=>":
		return true
	}
	return false
}

// isFlagName tells whether name, without its dashes, is a long flag's.
func isFlagName(name string) bool {
	if len(name) < 2 || len(name) > known.NameBytesMax || !isLetter(name[0]) && name[0] != '_' {
		return false
	}
	return runEnd(name, 0, isTokenChar) == len(name)
}

// isFlag tells whether a word is a flag rather than a secret that begins with a
// dash: --name, --name=value, or a dash and one letter.
func isFlag(word string) bool {
	if len(word) < 2 || word[0] != '-' {
		return word == "-"
	}
	if len(word) == 2 {
		return isLetter(word[1])
	}
	if word[1] != '-' || !isLetter(word[2]) {
		return word == "--"
	}
	end := runEnd(word, 2, func(c byte) bool { return is(c, className) && !isUpper(c) })
	return end == len(word) || word[end] == '=' || is(word[end], classBlank) || isQuote(word[end])
}

// isCluster tells whether a word is one or more short flags.
func isCluster(word string) bool { return len(word) > 1 && word[0] == '-' && word[1] != '-' }

// isReference tells whether the value of a flag names a secret that is kept
// elsewhere: docker build --secret id=x,src=path, openssl -passin env:X.
func isReference(value string) bool {
	for _, prefix := range []string{"id=", "type=", "env:", "file:", "fd:"} {
		if strings.HasPrefix(value, prefix) {
			return true
		}
	}
	return false
}

// isPorts tells whether the value of a -p maps ports.
func isPorts(value string) bool {
	from, to, ok := strings.Cut(value, ":")
	return ok && isDigits(from) && isDigits(to)
}

// isAssignment tells whether word, before a program, sets a variable for it.
func isAssignment(word string) bool {
	name, _, ok := strings.Cut(word, "=")
	return ok && name != "" && !isDigit(name[0]) &&
		runEnd(name, 0, func(c byte) bool { return is(c, classAlnum) || c == '_' }) == len(name)
}

// programName returns what a program is known by, however it is reached.
func programName(word string) string {
	if i := strings.LastIndexAny(word, `/\`); i >= 0 {
		word = word[i+1:]
	}
	if len(word) > known.NameBytesMax {
		return ""
	}
	return strings.TrimSuffix(strings.ToLower(word), ".exe")
}

// lookup returns what is known of the program that a word names.
func lookup(word string) *known.Program { return known.Lookup(programName(word)) }

// program looks at the program at i and returns where the program stands that
// it runs, or the end of the words.
func (c *command) program(i int) int {
	name, args := programName(c.words[i]), i+1
	p := known.Lookup(name)
	if p == nil {
		c.login(nil, args)
		return c.nextKnown(args, false)
	}
	if p.Usage != nil {
		for k := range p.Usage.Rules {
			c.rule(p.Usage, &p.Usage.Rules[k], args)
		}
	}
	if name == "curl" || name == "wget" {
		c.curl(args)
	}
	if p.IsShell {
		c.shell(p.IsOddShell, args)
		return len(c.words)
	}
	if p.IsInterpreter {
		c.code(args, p.CodeFlags)
	}
	if p.IsScriptRunner {
		for k := args; k < len(c.words); k++ {
			c.setRole(k, roleShell)
		}
	}
	if p.IsWrapper {
		return c.wrapped(args, p.Values)
	}
	if !p.IsLooseWrapper {
		c.login(p.Usage, args)
	}
	return c.nextKnown(args, p.IsLooseWrapper)
}

// wrapped returns where the program stands that a wrapper, whose arguments begin at
// i, runs.
func (c *command) wrapped(i int, values string) int {
	next := c.afterOptions(i, values)
	if next < len(c.words) && (lookup(c.words[next]).Runs() || isAssignment(c.words[next])) {
		return next
	}
	c.login(nil, next+1)
	return c.nextKnown(i, true)
}

// afterOptions returns the position after a wrapper's own options; values are
// its short options that take one.
func (c *command) afterOptions(i int, values string) int {
	for i < len(c.words) {
		w := c.words[i]
		switch {
		case w == "--":
			return i + 1
		case len(w) < 2 || w[0] != '-':
			return i
		case w[1] != '-' && strings.IndexByte(values, w[len(w)-1]) >= 0:
			i++
		}
		i++
	}
	return min(i, len(c.words))
}

// nextKnown returns the next word at or after i that is a known program and
// stands where one may: not after a flag, whose value it could be. Of commands
// that aren't known to run others, only what follows --, -exec, run and exec is
// looked at.
func (c *command) nextKnown(i int, anywhere bool) int {
	for from := i; i < len(c.words); i++ {
		before := ""
		if i > from {
			before = c.words[i-1]
		}
		begins := before == "--" || strings.HasPrefix(before, "-exec") || strings.HasPrefix(before, "-ok")
		switch before {
		case "exec", "run", "x":
			anywhere = true
		}
		takesWord := strings.HasPrefix(before, "-") && !strings.Contains(before, "=")
		if (begins || anywhere && !takesWord) && lookup(c.words[i]).Runs() {
			return i
		}
	}
	return i
}

// shell notes which of a shell's arguments is the script of its -c. Those after it
// may be scripts too, if that one runs them.
func (c *command) shell(isOdd bool, i int) {
	script := false
	for ; i < len(c.words); i++ {
		w := c.words[i]
		if len(w) < 2 || w[0] != '-' && w[0] != '+' || hasBlank(w) {
			break
		}
		if w[1] != '-' && strings.Contains(w, "c") || w == "--command" {
			script = true
		}
		if w[1] != '-' && strings.HasSuffix(w, "o") {
			i++
		}
	}
	if !script || i >= len(c.words) {
		return
	}
	r := roleShell
	if isOdd {
		r = roleOdd
	}
	c.setRole(i, r)
	if runsArguments(c.words[i]) {
		for i++; i < len(c.words); i++ {
			c.setRole(i, r)
		}
	}
}

// runsArguments reports whether a script may run its arguments as scripts.
func runsArguments(script string) bool {
	return strings.Contains(script, "eval") || strings.Contains(script, "-c") ||
		strings.HasPrefix(strings.TrimLeft(script, "\" \t"), "$")
}

// code notes which of an interpreter's arguments is code: those after flags with
// one of the letters, or all that have blanks.
func (c *command) code(i int, letters string) {
	for ; i < len(c.words); i++ {
		w := c.words[i]
		switch {
		case letters == "":
			if hasBlank(w) {
				c.setRole(i, roleCode)
			}
		case len(w) < 2 || w[0] != '-':
		case isCodeFlag(w, letters):
			c.setRole(i+1, roleCode)
			i++
		case strings.IndexByte(letters, w[1]) >= 0, strings.HasPrefix(w, "--e"), strings.HasPrefix(w, "--c"):
			c.setRole(i, roleCode)
		}
	}
}

// isCodeFlag reports whether the word after a flag is code.
func isCodeFlag(flag, letters string) bool {
	switch name := strings.ToLower(strings.TrimLeft(flag, "-")); name {
	case "eval", "command", "execute", "exec", "expression", "print", "query", "run":
		return true
	default:
		const clusterMax = 6
		return flag[1] != '-' && len(flag) <= clusterMax && strings.IndexByte(letters, flag[len(flag)-1]) >= 0
	}
}
