package redact

import (
	"slices"
	"strings"
)

// wrappersMax bounds commands that run commands that run commands.
const wrappersMax = 8

// A command is an argv in which the secrets of known programs are looked for.
type command struct {
	words []string
	hits  []hit
	// whole commands are no part of a script, which is read as a text too.
	whole bool
	// scripts are the words that a shell will read.
	scripts map[int]bool
}

// find finds what flags and programs tell of the command's words.
func (c *command) find() {
	for i, w := range c.words {
		if len(w) > 2 && w[0] == '-' {
			c.flag(i)
		}
		if c.whole && len(w) > 2 && w[len(w)-1] == ':' {
			c.header(i)
		}
	}
	for i, depth := 0, 0; i < len(c.words) && depth < wrappersMax; {
		if isAssignment(c.words[i]) || keywords[c.words[i]] {
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
	if kind := kindOf(name, formFlag); kind != ordinary && !isFlag(value) && kind.holdsAfterFlag(value) && !isReference(value) {
		c.mask(i+1, 0)
	}
}

// header masks the words after a header that was split at its blanks:
// Authorization: Bearer X.
func (c *command) header(i int) {
	kind := kindOf(strings.TrimSuffix(c.words[i], ":"), formHeader)
	if kind == headerName && i+2 < len(c.words) && schemes[strings.ToLower(c.words[i+1])] {
		i++
	}
	if i+1 < len(c.words) && kind.holds(c.words[i+1]) && kind != signatureName {
		c.mask(i+1, 0)
	}
}

// isFlagName tells whether name, without its dashes, is a long flag's.
func isFlagName(name string) bool {
	if len(name) < 2 || len(name) > nameBytesMax || !isLetter(name[0]) && name[0] != '_' {
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

// keywords of a shell may stand before a program.
var keywords = setOf("if", "then", "else", "elif", "while", "until", "do", "!", "{", "}", "export",
	"local", "declare", "readonly", "typeset", "set")

// programName returns what a program is known by, however it is reached.
func programName(word string) string {
	if i := strings.LastIndexAny(word, `/\`); i >= 0 {
		word = word[i+1:]
	}
	if len(word) > nameBytesMax {
		return ""
	}
	return strings.TrimSuffix(strings.ToLower(word), ".exe")
}

// program looks at the program at i and returns where the program stands that
// it runs, or the end of the words.
func (c *command) program(i int) int {
	name := programName(c.words[i])
	args := i + 1
	if p, ok := programs[name]; ok {
		p.find(c, args)
	}
	if find, ok := specials[name]; ok {
		find(c, args)
	}
	if shells[name] {
		c.shell(args)
		return len(c.words)
	}
	if scriptRunners[name] {
		c.blankScripts(args)
	}
	if values, ok := wrappers[name]; ok {
		if next := c.afterOptions(args, values); next < len(c.words) && isKnown(c.words[next]) {
			return next
		}
		return c.nextKnown(args, true)
	}
	return c.nextKnown(args, looseWrappers[name])
}

// isKnown tells whether there is something to know of the program in word, or
// an assignment for one.
func isKnown(word string) bool {
	name := programName(word)
	if _, ok := programs[name]; ok {
		return true
	}
	if _, ok := specials[name]; ok {
		return true
	}
	_, ok := wrappers[name]
	return ok || shells[name] || looseWrappers[name] || isAssignment(word)
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
		if begins || anywhere && !takesWord {
			if isKnown(c.words[i]) && !isAssignment(c.words[i]) {
				return i
			}
		}
	}
	return i
}

// shell notes which of a shell's arguments is the script of its -c.
func (c *command) shell(i int) {
	script := false
	for ; i < len(c.words); i++ {
		w := c.words[i]
		if len(w) < 2 || w[0] != '-' && w[0] != '+' {
			break
		}
		if w[1] != '-' && strings.Contains(w, "c") {
			script = true
		}
		if w[1] != '-' && strings.HasSuffix(w, "o") {
			i++
		}
	}
	if script && i < len(c.words) {
		c.script(i)
	}
}

// script notes that a shell will read the word i.
func (c *command) script(i int) {
	if c.scripts == nil {
		c.scripts = make(map[int]bool)
	}
	c.scripts[i] = true
}

// blankScripts notes all arguments with blanks as scripts.
func (c *command) blankScripts(i int) {
	for ; i < len(c.words); i++ {
		if hasBlank(c.words[i]) {
			c.script(i)
		}
	}
}

// pipedHits finds the secret that is printed into a program that reads one:
// echo X | sudo -S, echo user:X | chpasswd.
func pipedHits(from, into []string) []hit {
	if len(from) == 0 || !printers[programName(from[0])] || !readsSecret(into) {
		return nil
	}
	c := command{words: from}
	if slices.Contains(into, "chpasswd") {
		chpasswdSecrets(&c, 1)
		return c.hits
	}
	for i, w := range from[1:] {
		if !isFlag(w) && !strings.HasPrefix(w, "%") {
			c.mask(i+1, 0)
		}
	}
	return c.hits
}

// readsSecret tells whether a command reads a secret from its standard input.
func readsSecret(words []string) bool {
	if len(words) == 0 {
		return false
	}
	c := command{words: words}
	i := 0
	if values, ok := wrappers[programName(words[0])]; ok {
		i = c.afterOptions(1, values)
	}
	for _, option := range words[:i] {
		if option == "--stdin" || isCluster(option) && strings.Contains(option, "S") {
			return true
		}
	}
	if i < len(words) && secretReaders[programName(words[i])] {
		return true
	}
	return slices.ContainsFunc(words, func(w string) bool {
		return w == "--password-stdin" || w == "--with-token" || w == "--passphrase-fd"
	})
}
