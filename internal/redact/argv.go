package redact

import (
	"slices"
	"strings"

	"sallyport/internal/redact/known"
	"sallyport/internal/redact/shell"
)

// role is what a word is to the program that reads it.
type role uint8

const (
	// roleData is an argument.
	roleData role = iota
	// roleShell is a script, read by a shell.
	roleShell
	// roleOdd is a script, read by a shell with a quoting of its own.
	roleOdd
	// roleCode is code for another interpreter.
	roleCode
)

// findInArgv finds the secrets of one command and its arguments.
func findInArgv(argv []string, depth int) []hit {
	c := command{words: argv, depth: depth}
	return c.all()
}

// all finds what the command's words, flags and programs tell.
func (c *command) all() []hit {
	c.findNames()
	c.findPrograms()
	c.clip()
	c.hits = append(c.hits, c.pemHits()...)
	for i, word := range c.words {
		for _, s := range findInWord(word, c.role(i), c.depth) {
			c.hits = append(c.hits, hit{i, s})
		}
	}
	return c.hits
}

// clip ends masks in words that a shell will read where the shell's word ends.
func (c *command) clip() {
	if len(c.roles) == 0 {
		return
	}
	hits := c.hits
	c.hits = nil
	for _, h := range hits {
		switch c.role(h.word) {
		case roleData:
			c.hits = append(c.hits, h)
		case roleShell, roleOdd:
			script := shell.Parse(c.words[h.word])
			script.Clip(h.span.from, h.span.to, func(from, to int) {
				c.hits = append(c.hits, hit{h.word, span{from, to}})
			})
		}
	}
}

// findInWord finds the secrets of one word.
func findInWord(word string, r role, depth int) []span {
	switch {
	case r == roleOdd && strings.Contains(word, `\`), r == roleShell && depth >= depthMax, r == roleOdd && depth >= depthMax:
		return scan(word, modeTight, depth)
	case r == roleShell, r == roleOdd:
		return findInScript(word, depth+1)
	case r == roleCode:
		return scan(word, modeCode, depth)
	case depth >= depthMax || !hasBlank(word):
		return scan(word, modeData, depth)
	}
	script := shell.Parse(word)
	spans := findInParsed(word, &script, depth+1)
	if beginsCommand(&script) {
		return spans
	}
	return append(spans, scan(word, modeData, depth)...)
}

// scan finds the secrets of a text by itself.
func scan(text string, m mode, depth int) []span {
	s := scanner{text: text, mode: m, depth: depth}
	s.run()
	if m == modeData && strings.Count(text, ":") >= passColons {
		s.passLines()
	}
	return s.spans
}

// beginsCommand reports whether a script begins with a program that is known, so
// that it is one rather than a text.
func beginsCommand(script *shell.Script) bool {
	first, begin := "", -1
	for _, c := range script.Commands {
		// The commands of a substitution come before the one around it.
		if w := script.Words(c)[0]; begin < 0 || w.From < begin {
			first, begin = script.Texts(c)[0], w.From
		}
	}
	return lookup(first).Runs()
}

// findInScript finds the secrets of a text's commands, as a shell reads them.
func findInScript(text string, depth int) []span {
	script := shell.Parse(text)
	return findInParsed(text, &script, depth)
}

func findInParsed(text string, script *shell.Script, depth int) []span {
	p := parsed{text: text, Script: script, depth: depth}
	p.findSinks()
	for i := range script.Commands {
		p.command(i)
	}
	for _, d := range script.Documents {
		p.document(d)
	}
	for _, r := range script.Comments {
		p.tight(r.From, r.To)
	}
	p.tight(script.Unread, len(text))
	if strings.Contains(text, "BEGIN") {
		p.spans = append(p.spans, pemSpans(text, func(int) bool { return true })...)
	}
	return p.spans
}

// findPrograms finds what known programs tell of a text's commands, and nothing
// else: the text is a string in code, and may be anything.
func findPrograms(text string, depth int) []span {
	script := shell.Parse(text)
	p := parsed{text: text, Script: &script, depth: depth}
	for _, command := range script.Commands {
		p.programs(command)
	}
	return p.spans
}

func (p *parsed) programs(of shell.Command) {
	c := command{words: p.Texts(of), depth: p.depth}
	c.findPrograms()
	c.clip()
	for i, r := range c.roles {
		for _, s := range findInWord(c.words[i], r, p.depth) {
			c.hits = append(c.hits, hit{i, s})
		}
	}
	p.addHits(of, c.hits)
}

// A parsed script and what was found in it.
type parsed struct {
	*shell.Script
	text  string
	depth int
	spans []span
	// sinks tell for each command how what it writes will be read.
	sinks []role
}

// tight finds what is a secret in a part of the text, however shells read it.
func (p *parsed) tight(from, to int) {
	if from >= to {
		return
	}
	for _, s := range scan(p.text[from:to], modeTight, p.depth) {
		p.spans = append(p.spans, span{from + s.from, from + s.to})
	}
}

// command finds the secrets of the command i.
func (p *parsed) command(i int) {
	words := p.Texts(p.Commands[i])
	c := command{words: words, depth: p.depth}
	p.roles(&c, i)
	hits := c.all()
	if p.Commands[i].Piped && i+1 < len(p.Commands) {
		hits = append(hits, pipedHits(words, p.Texts(p.Commands[i+1]))...)
	}
	if fed := p.Commands[i].Fed; 0 < fed && fed < len(words) && readsSecret(words) {
		hits = append(hits, hit{fed, span{0, len(words[fed])}})
	}
	p.addHits(p.Commands[i], hits)
}

// addHits adds what was found in the words of a command.
func (p *parsed) addHits(of shell.Command, hits []hit) {
	if len(hits) == 0 {
		return
	}
	places, add := p.Words(of), p.add
	for word, found := range byWord(hits) {
		for _, f := range found {
			places[word].Source(f.from, f.to, add)
		}
	}
}

func (p *parsed) add(from, to int) { p.spans = append(p.spans, span{from, to}) }

// roles gives roles to words of c, the command i, that another command reads.
func (p *parsed) roles(c *command, i int) {
	if fed := p.Commands[i].Fed; 0 < fed && fed < len(c.words) {
		if r := readerRole(c.words); r != roleData {
			c.setRole(fed, r)
		}
	}
	if p.sinks != nil && p.sinks[i] != roleData && isPrinter(c.words) {
		for k := 1; k < len(c.words); k++ {
			c.setRole(k, p.sinks[i])
		}
	}
}

// findSinks notes how what commands write will be read at the end of their pipes.
func (p *parsed) findSinks() {
	if !slices.ContainsFunc(p.Commands, func(c shell.Command) bool { return c.Piped }) {
		return
	}
	p.sinks = make([]role, len(p.Commands))
	for i := len(p.Commands) - 2; i >= 0; i-- {
		if p.Commands[i].Piped {
			p.sinks[i] = readerRole(p.Texts(p.Commands[i+1]))
			if p.sinks[i] == roleData {
				p.sinks[i] = p.sinks[i+1]
			}
		}
	}
}

// readerRole returns how a command reads its standard input.
func readerRole(words []string) role {
	const wordsMax = 16
	for _, word := range words[:min(len(words), wordsMax)] {
		name := programName(word)
		switch p := known.Lookup(name); {
		case p == nil:
			if name == "." || name == "source" {
				return roleShell
			}
		case p.IsOddShell:
			return roleOdd
		case p.IsShell, p.IsScriptRunner, name == "at", name == "batch", name == "xargs":
			return roleShell
		case p.IsInterpreter && !strings.HasSuffix(name, "awk") && name != "jq":
			return roleCode
		}
	}
	return roleData
}

// document finds the secrets of a here-document.
func (p *parsed) document(d shell.Document) {
	r, reader := roleData, &known.Program{}
	if d.Command >= 0 {
		words := p.Texts(p.Commands[d.Command])
		if _, last := lastProgram(words); last != nil {
			reader = last
		}
		r = readerRole(words)
		if r == roleData && p.sinks != nil {
			r = p.sinks[d.Command]
		}
	}
	// The last line end is no part of a value: without it the document wouldn't end.
	text := strings.TrimSuffix(d.Text, "\n")
	var found []span
	switch {
	case r != roleData:
		found = findInWord(text, r, p.depth)
	case reader.ReadsLogins:
		found = loginLines(text)
	case reader.IsWriter:
		found = append(scan(text, modeText, p.depth), pemSpans(text, nil)...)
	default:
		found = append(scan(text, modeCode, p.depth), pemSpans(text, nil)...)
	}
	for _, s := range merge(found) {
		d.Word.Source(s.from, s.to, p.add)
	}
}

// lastProgram returns the program that a command comes to, behind sudo and its like,
// and what is known of it.
func lastProgram(words []string) (string, *known.Program) {
	c := command{words: words}
	i := 0
	for range wrappersMax {
		p := lookup(words[i])
		if p == nil || !p.IsWrapper {
			break
		}
		if i = c.afterOptions(i+1, p.Values); i >= len(words) {
			return "", nil
		}
	}
	name := programName(words[i])
	return name, known.Lookup(name)
}

// isPrinter reports whether a command prints its arguments.
func isPrinter(words []string) bool {
	p := lookup(words[0])
	return p != nil && p.IsPrinter
}
