// Package redact masks the secrets that stand in a command line, and makes a
// command line fit for one line of display.
//
// Nothing here knows a secret for certain: it knows how secrets are handed
// over. There are three kinds of knowledge: names (a value that belongs to a
// name such as --password or API_TOKEN), programs (mysql -pX, curl -u a:b) and
// shapes (ghp_…, a JWT, a private key in PEM). Scripts inside an argument are
// read as a shell would read them (package shell), so that the same knowledge
// applies there; package known holds it. Masks hide values and never what is done:
// in a script a mask ends where the shell's word ends, and a substitution stays.
// In doubt a value is masked, but ordinary arguments stay as they are: a log
// that masks everything tells nothing.
//
// All work is linear in the length of the input.
package redact

import "slices"

// Mark stands in place of whatever was masked.
const Mark = "[redacted]"

const (
	// passesMax bounds how often an argv is gone over: masking one secret may
	// bring another form to light.
	passesMax = 4
	// depthMax bounds scripts within scripts within an argument.
	depthMax = 3
)

// Argv returns a copy of argv in which secrets are masked. The copy has as many
// elements; argv itself isn't changed. Masking what is masked changes nothing.
func Argv(argv []string) []string {
	masked := slices.Clone(argv)
	for range passesMax {
		if !maskOnce(masked) {
			return masked
		}
	}
	if maskOnce(masked) {
		// Only an argv made to confuse gets here, and then no part of it is safe.
		for i := range masked {
			masked[i] = Mark
		}
	}
	return masked
}

// Text returns free text, such as an error's message, in which secrets are
// masked. A value ends at the next blank unless it is quoted.
func Text(text string) string {
	for range passesMax {
		masked := mask(text, findInFree(text))
		if masked == text {
			return masked
		}
		text = masked
	}
	if mask(text, findInFree(text)) != text {
		return Mark
	}
	return text
}

// maskOnce masks argv in place and tells whether that changed it.
func maskOnce(argv []string) bool {
	changed := false
	for word, spans := range byWord(findInArgv(argv, 0)) {
		masked := mask(argv[word], spans)
		changed = changed || masked != argv[word]
		argv[word] = masked
	}
	return changed
}

// findInFree finds the secrets of free text. A private key is one also where its
// first word is a name's value.
func findInFree(text string) []span {
	s := scanner{text: text, mode: modeText}
	s.run()
	if hasBlank(text) {
		s.spans = append(s.spans, findInScript(text, 1)...)
	}
	return append(s.spans, pemSpans(text, nil)...)
}
