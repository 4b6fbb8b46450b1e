package redact

import (
	"slices"
	"strings"
)

// pipedHits finds the secret that is printed into a program that reads one:
// echo X | sudo -S, echo user:X | chpasswd.
func pipedHits(from, into []string) []hit {
	if !isPrinter(from) {
		return nil
	}
	c := command{words: from}
	_, reader := lastProgram(into)
	switch {
	case reader != nil && reader.ReadsLogins:
		c.printedLogins()
	case readsSecret(into):
		for i, w := range from[1:] {
			if !isFlag(w) && !strings.HasPrefix(w, "%") {
				c.mask(i+1, 0)
			}
		}
	default:
		c.printedArguments(into)
	}
	return c.hits
}

// printedLogins masks the passwords of lines user:X that are printed: also
// printf 'root:%s' X.
func (c *command) printedLogins() {
	for i, w := range c.words[1:] {
		for _, s := range loginLines(w) {
			if value := w[s.from:s.to]; !strings.HasPrefix(value, "%s") {
				c.hits = append(c.hits, hit{i + 1, s})
			}
		}
	}
	if len(c.words) < 3 || programName(c.words[0]) != "printf" {
		return
	}
	const verb = "%s"
	format := c.words[1]
	n := max(1, strings.Count(format, verb))
	for k, from := 0, 0; k < n; k++ {
		at := strings.Index(format[from:], verb)
		if at < 0 {
			return
		}
		at += from
		from = at + len(verb)
		if at == 0 || format[at-1] != ':' {
			continue
		}
		for i := 2 + k; i < len(c.words); i += n {
			c.mask(i, 0)
		}
	}
}

// loginLines returns where the passwords stand in lines of user:password.
func loginLines(text string) []span {
	var spans []span
	for begin := 0; begin < len(text); {
		end := len(text)
		if i := strings.IndexByte(text[begin:], '\n'); i >= 0 {
			end = begin + i
		}
		if i := strings.Index(text[begin:end], `\n`); i >= 0 {
			end = begin + i + len(`\n`)
		}
		line := strings.TrimSuffix(text[begin:end], `\n`)
		if colon := strings.IndexByte(line, ':'); colon > 0 && colon+1 < len(line) {
			spans = append(spans, span{begin + colon + 1, begin + len(line)})
		}
		if end == len(text) || text[end-1] == 'n' && strings.HasSuffix(text[begin:end], `\n`) {
			begin = end
		} else {
			begin = end + 1
		}
	}
	return spans
}

// printedArguments masks what is printed into a program that reads its commands so:
// echo AUTH X | redis-cli.
func (c *command) printedArguments(into []string) {
	switch name, _ := lastProgram(into); name {
	case "redis-cli", "valkey-cli", "keydb-cli":
		words, at := []string{name}, []hit{{}}
		for i, w := range c.words[1:] {
			for from := 0; from < len(w); {
				end := runEnd(w, from, func(c byte) bool { return !is(c, classBlank) && c != '\\' })
				if from < end {
					words, at = append(words, w[from:end]), append(at, hit{i + 1, span{from, end}})
				}
				from = end + 1
			}
		}
		line := command{words: words, depth: depthMax}
		line.findPrograms()
		for _, h := range line.hits {
			c.hits = append(c.hits, hit{at[h.word].word, span{at[h.word].span.from + h.span.from, at[h.word].span.from + h.span.to}})
		}
	}
}

// readsSecret tells whether a command reads a secret from its standard input.
func readsSecret(words []string) bool {
	if len(words) == 0 {
		return false
	}
	c := command{words: words}
	i := 0
	if p := lookup(words[0]); p != nil && p.IsWrapper {
		i = c.afterOptions(1, p.Values)
	}
	for _, option := range words[:i] {
		if option == "--stdin" || isCluster(option) && strings.Contains(option, "S") {
			return true
		}
	}
	if i < len(words) {
		if p := lookup(words[i]); p != nil && p.ReadsSecret {
			return true
		}
	}
	return slices.ContainsFunc(words, func(w string) bool {
		return w == "--password-stdin" || w == "--with-token" || w == "--passphrase-fd" ||
			w == "--stdin-password" || w == "-stdinpass" || w == "--passwd-on-stdin"
	})
}
