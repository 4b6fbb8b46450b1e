package field

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"sallyport/internal/limits"
)

// AttachmentName makes a name that somebody gave safe for every file system and terminal:
// what follows the last slash or backslash, without control, bidi and invalid characters,
// never hidden nor like an option, cut at limits.AttachmentNameBytesMax with its extension
// kept.
func AttachmentName(given string) string {
	name := given[strings.LastIndexAny(given, `/\`)+1:]
	var b strings.Builder
	for _, c := range name { // a byte that is no UTF-8 is utf8.RuneError, each by itself
		if b.Len() == 0 && (c == '.' || c == '-') || isUnsafe(c) {
			c = '_'
		}
		b.WriteRune(c)
	}
	name = b.String()
	if name == "" {
		return "file"
	}
	if len(name) <= limits.AttachmentNameBytesMax {
		return name
	}
	ext := path.Ext(name)
	if stem := cutAt(name, limits.AttachmentNameBytesMax-len(ext)); stem != "" {
		return stem + ext
	}
	return cutAt(name, limits.AttachmentNameBytesMax)
}

func isUnsafe(c rune) bool {
	return c == utf8.RuneError || unicode.In(c, unicode.Cc, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
}

// cutAt is the beginning of a text, of n bytes at most, that ends with a whole character.
func cutAt(text string, n int) string {
	for ; n > 0 && !utf8.RuneStart(text[n]); n-- {
	}
	return text[:max(n, 0)]
}
