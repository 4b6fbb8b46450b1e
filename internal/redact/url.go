package redact

import (
	"strings"

	"sallyport/internal/redact/known"
)

// url masks the credentials in the URL whose "://" is at i, and returns where
// to go on.
func (s *scanner) url(i int) int {
	from := i + len("://")
	scheme := strings.ToLower(s.text[s.nameStart(i):i])
	if scheme == "" {
		return from
	}
	end := from
	for end < len(s.text) && !s.endsWord(s.text[end]) && strings.IndexByte("/?#", s.text[end]) < 0 {
		end++
	}
	at := strings.LastIndexByte(s.text[from:end], '@')
	if at >= 0 {
		at += from
	} else if at = s.lateAt(from, end); at < 0 {
		return from
	}
	user, secretPart := userinfo(s.text[from:at], ':', userIsSecret(scheme))
	if user == secretPart {
		return at
	}
	return s.add(from+user, from+secretPart)
}

// lateAt finds the @ after a password that holds a / ? or #, as it shouldn't:
// the authority then ends, at end, in what is no port.
func (s *scanner) lateAt(from, end int) int {
	_, port, ok := strings.Cut(s.text[from:end], ":")
	if !ok || port != "" && isDigits(port) || strings.HasPrefix(s.text[from:end], "[") {
		return -1
	}
	if end >= s.wordEnd {
		s.wordEnd, s.lastAt = end, -1
		for s.wordEnd < len(s.text) && !s.endsWord(s.text[s.wordEnd]) {
			if s.text[s.wordEnd] == '@' {
				s.lastAt = s.wordEnd
			}
			s.wordEnd++
		}
	}
	if s.lastAt < end {
		return -1
	}
	return s.lastAt
}

// endsWord tells whether a URL can't go on past c.
func (s *scanner) endsWord(c byte) bool {
	return is(c, classBlank) || isQuote(c) || c == '<' || c == '>' || c == '`'
}

// userIsSecret tells whether a lone user of a scheme may be a token: where
// people log in, it is a name.
func userIsSecret(scheme string) bool {
	switch scheme {
	case "http", "https", "ws", "wss", "ftp", "ftps", "git+https", "git+http":
		return true
	}
	return false
}

// userinfo returns the range of the secret in user:password; it is empty when
// there is none. A user may be the token itself, with a password that is none.
func userinfo(info string, sep byte, aloneIsSecret bool) (from, to int) {
	i := strings.IndexByte(info, sep)
	switch {
	case i < 0 && aloneIsSecret && !known.IsPlainUser(info):
		return 0, len(info)
	case i < 0 && looksLikeToken(info):
		return 0, len(info)
	case i < 0:
		return 0, 0
	}
	user, password := info[:i], info[i+1:]
	switch {
	case password == "" && (aloneIsSecret && !known.IsPlainUser(user) || looksLikeToken(user)):
		return 0, i
	case password == "x-oauth-basic" || looksLikeToken(user):
		return 0, len(info)
	}
	return i + 1, len(info)
}

// looksLikeToken tells whether a user's name is too long and too random for one.
func looksLikeToken(user string) bool {
	if len(user) < 20 || strings.ContainsAny(user, "@%.") {
		return false
	}
	return strings.ContainsAny(user, "0123456789")
}
