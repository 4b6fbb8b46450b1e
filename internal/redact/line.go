package redact

// Line masks free text and renders it as one line, as Summary does an argv: at
// most limits.SummaryCharsMax characters, without control characters.
func Line(text string) string {
	text = Text(text)
	var l line
	for i := 0; i < len(text) && !l.full; {
		unit, size := escapeRune(text[i:])
		l.add(unit)
		i += size
	}
	return l.String()
}
