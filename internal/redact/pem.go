package redact

import (
	"strings"
)

// pemHeadBytesMax is how far after BEGIN or END the kind of a PEM block stands.
const pemHeadBytesMax = 64

// pemSpans finds the private keys in PEM: their lines of base64, and nothing else of
// what stands between BEGIN and END. At offsets where isCode says so, where lines
// may be a program's names as well, only what can be nothing else is one.
func pemSpans(text string, isCode func(at int) bool) []span {
	var spans []span
	for from := 0; ; {
		i := strings.Index(text[from:], "BEGIN")
		if i < 0 {
			return spans
		}
		i += from
		from = i + len("BEGIN")
		if dashesBefore(text, i) == i || !isPrivate(text, from) {
			continue
		}
		k := keyLines{text: text, isCode: isCode, spans: spans}
		from = k.read(from, pemEnd(text, from))
		spans = k.spans
	}
}

// isPrivate tells whether the block whose BEGIN ends at i is a private key.
func isPrivate(text string, i int) bool {
	return strings.Contains(text[i:min(i+pemHeadBytesMax, len(text))], "PRIVATE")
}

// dashesBefore returns where the dashes before BEGIN or END begin, or i when
// there are fewer than four. A blank or its form in a URL may stand between.
func dashesBefore(text string, i int) int {
	from := i
	for from > 0 && i-from < 1 && strings.IndexByte(" +", text[from-1]) >= 0 {
		from--
	}
	dashes := from
	for dashes > 0 && from-dashes < 5 && text[dashes-1] == '-' {
		dashes--
	}
	if from-dashes < 4 {
		return i
	}
	return dashes
}

// pemEnd returns where the END, or the next BEGIN, of a block stands whose BEGIN is
// before from; the text's end if there is none.
func pemEnd(text string, from int) int {
	for {
		i := strings.Index(text[from:], "----")
		if i < 0 {
			return len(text)
		}
		i += from
		from = runEnd(text, i, isDash)
		word := strings.TrimLeft(text[from:min(from+len(" BEGIN"), len(text))], " +")
		if strings.HasPrefix(word, "END") || strings.HasPrefix(word, "BEGIN") {
			return i
		}
	}
}

// keyLines reads the lines of a private key.
type keyLines struct {
	text   string
	isCode func(at int) bool
	spans  []span
	// isOpen tells that the line before was one of base64, begun at begin.
	isOpen bool
	begin  int
}

// read masks the lines of base64 in a range, and returns where to go on.
func (k *keyLines) read(from, to int) int {
	// The kind of key, and its dashes, are on the first line.
	head := min(from+pemHeadBytesMax, to)
	if dashes := strings.Index(k.text[from:head], "----"); dashes >= 0 {
		from = runEnd(k.text[:to], from+dashes, isDash)
	}
	end := from
	for i := from; i < to; {
		if strings.HasPrefix(k.text[i:to], Mark) {
			k.take(i)
			i += len(Mark)
			end = i
			continue
		}
		next := runEnd(k.text[:to], i, isKeyChar)
		if next == i {
			i = k.separator(i, end, to)
			continue
		}
		if k.isLine(i, next, to) {
			k.take(i)
			end = next
		} else {
			k.close(end)
		}
		i = next
	}
	k.close(end)
	return max(to, from)
}

// separator returns the position after what stands at i between two lines; all but
// blanks and escapes ends what is masked as one.
func (k *keyLines) separator(i, end, to int) int {
	switch c := k.text[i]; {
	case is(c, classBlank):
		return i + 1
	case c == '\\' && i+1 < to && strings.IndexByte("nrt", k.text[i+1]) >= 0:
		return i + 2
	}
	k.close(end)
	return i + 1
}

func (k *keyLines) take(i int) {
	if !k.isOpen {
		k.isOpen, k.begin = true, i
	}
}

func (k *keyLines) close(end int) {
	if k.isOpen && k.text[k.begin:end] != Mark {
		k.spans = append(k.spans, span{k.begin, end})
	}
	k.isOpen = false
}

// isLine reports whether what stands from at to next, in a block that ends at to, is
// a line of base64 of a key. A short one is only where it is a line by itself, or begins
// as keys do, or follows another and is the last, or nearly as long.
func (k *keyLines) isLine(at, next, to int) bool {
	const surely, maybe, begin = 40, 16, 6
	line := k.text[at:next]
	isCode := k.isCode != nil && k.isCode(at)
	switch {
	case len(line) >= surely:
		return !isCode || looksRandom(line)
	case isCode:
		return false
	case k.isOpen && (len(line) >= maybe || line[0] == '='), len(line) >= maybe && k.isAlone(at, next):
		return true
	case k.isOpen:
		return len(line)%4 == 0 && to < len(k.text) && isGap(k.text[next:to])
	}
	return len(line) >= begin && beginsKey(line)
}

// isAlone reports whether nothing else stands on the line of a range.
func (k *keyLines) isAlone(at, next int) bool {
	before, after := k.text[:at], k.text[next:]
	begins := strings.HasSuffix(before, "\n") || strings.HasSuffix(before, `\n`)
	ends := after == "" || strings.HasPrefix(after, "\n") || strings.HasPrefix(after, "\r\n") ||
		strings.HasPrefix(after, `\n`) || strings.HasPrefix(after, `\r\n`)
	return begins && ends
}

// isGap reports whether a text has nothing but blanks and escapes.
func isGap(text string) bool {
	const gapMax = 8
	return len(text) <= gapMax && strings.Trim(strings.NewReplacer(`\n`, "", `\r`, "").Replace(text), " \t\r\n+") == ""
}

// beginsKey reports whether base64 begins as that of a key: in DER, as OpenSSH has
// it, in PGP's packets, or as SSH2 has it.
func beginsKey(line string) bool {
	switch {
	case line[0] == 'M' && 'A' <= line[1] && line[1] <= 'J',
		strings.HasPrefix(line, "b3BlbnNz"), strings.HasPrefix(line, "P2/5"),
		strings.HasPrefix(line, "lQ"), strings.HasPrefix(line, "xc"), strings.HasPrefix(line, "xV"),
		strings.HasPrefix(line, "xY"), strings.HasPrefix(line, "lF"), strings.HasPrefix(line, "lI"):
		return true
	}
	return false
}

func isKeyChar(c byte) bool { return is(c, classAlnum) || c == '+' || c == '/' || c == '=' }

func isDash(c byte) bool { return c == '-' }

// pemHits finds private keys that stand in one word or in several: a block may have
// been split at its blanks.
func (c *command) pemHits() []hit {
	if !anyContains(c.words, "BEGIN") {
		return nil
	}
	joined := strings.Join(c.words, " ")
	starts := make([]int, len(c.words)+1)
	for i, word := range c.words {
		starts[i+1] = starts[i] + len(word) + 1
	}
	wordAt := func(at int) int {
		i, j := 0, len(c.words)
		for i+1 < j {
			if m := (i + j) / 2; starts[m] <= at {
				i = m
			} else {
				j = m
			}
		}
		return i
	}
	var hits []hit
	for _, s := range pemSpans(joined, func(at int) bool { return c.role(wordAt(at)) != roleData }) {
		for word := wordAt(s.from); word < len(c.words) && starts[word] < s.to; word++ {
			part := span{max(s.from-starts[word], 0), min(s.to-starts[word], len(c.words[word]))}
			if part.from < part.to {
				hits = append(hits, hit{word, part})
			}
		}
	}
	return hits
}

func anyContains(argv []string, part string) bool {
	for _, word := range argv {
		if strings.Contains(word, part) {
			return true
		}
	}
	return false
}
