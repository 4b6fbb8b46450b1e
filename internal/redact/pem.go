package redact

import "strings"

// pemHeadBytesMax is how far after BEGIN or END the kind of a PEM block stands.
const pemHeadBytesMax = 64

// pemSpan finds the first private key in PEM at or after from. A block without
// an end reaches to the end of the text.
func pemSpan(text string, from int) (span, bool) {
	for {
		i := strings.Index(text[from:], "BEGIN")
		if i < 0 {
			return span{}, false
		}
		i += from
		from = i + len("BEGIN")
		if start := dashesBefore(text, i); start < i && isPrivate(text, from) {
			return span{start, pemEnd(text, from)}, true
		}
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

// pemEnd returns where the block ends whose BEGIN is before from.
func pemEnd(text string, from int) int {
	for {
		i := strings.Index(text[from:], "END")
		if i < 0 {
			return len(text)
		}
		i += from
		from = i + len("END")
		if dashesBefore(text, i) == i {
			continue
		}
		dashes := strings.Index(text[from:min(from+pemHeadBytesMax, len(text))], "----")
		if dashes < 0 {
			return len(text)
		}
		return runEnd(text, from+dashes, isDash)
	}
}

func isDash(c byte) bool { return c == '-' }

// pem masks the private key whose dashes begin at i, if they are one's.
func (s *scanner) pem(i int) int {
	end := runEnd(s.text, i, isDash)
	begin := end
	if begin < len(s.text) && strings.IndexByte(" +", s.text[begin]) >= 0 {
		begin++
	}
	from := begin + len("BEGIN")
	if !strings.HasPrefix(s.text[begin:], "BEGIN") || !isPrivate(s.text, from) {
		return end
	}
	return s.add(i, pemEnd(s.text, from))
}

// pemHits finds private keys that stand in one element or in several: a block
// may have been split at its blanks.
func pemHits(argv []string) []hit {
	if !anyContains(argv, "BEGIN") {
		return nil
	}
	joined := strings.Join(argv, " ")
	var hits []hit
	word, start := 0, 0
	for from := 0; ; {
		s, ok := pemSpan(joined, from)
		if !ok {
			return hits
		}
		from = s.to
		for start < s.to {
			end := start + len(argv[word])
			if part := (span{max(s.from, start) - start, min(s.to, end) - start}); part.from < part.to {
				hits = append(hits, hit{word, part})
			}
			if end >= s.to {
				break
			}
			word, start = word+1, end+1
		}
	}
}

func anyContains(argv []string, part string) bool {
	for _, word := range argv {
		if strings.Contains(word, part) {
			return true
		}
	}
	return false
}
