package field

import (
	"strings"
	"testing"
	"unicode/utf8"

	"sallyport/internal/limits"
)

func TestAttachmentName(t *testing.T) {
	long := strings.Repeat("é", 60)
	for given, want := range map[string]string{
		"report.pdf": "report.pdf", "réport 1.pdf": "réport 1.pdf", `C:\Users\ann\a.txt`: "a.txt", "../../etc/passwd": "passwd", `a/b\c`: "c", `a\b/c`: "c",
		"": "file", "a/": "file", `\`: "file", ".": "_", "..": "_.", ".bashrc": "_bashrc", "-rf": "_rf", "_-x": "_-x",
		"a\x00b\nc\x7f": "a_b_c_", "a\u0085b": "a_b", "a\u202eb\u2066c\u200f": "a_b_c_", "a\xff\xfeb": "a__b", "\xff": "_",
		long + ".tar.gz":                    strings.Repeat("é", 48) + ".gz",
		strings.Repeat("x", 120):            strings.Repeat("x", 100),
		"x." + strings.Repeat("y", 98):      "x." + strings.Repeat("y", 98),
		"é" + "." + strings.Repeat("y", 98): "é." + strings.Repeat("y", 97),
	} {
		if got := AttachmentName(given); got != want {
			t.Errorf("%q is %q, want %q", given, got, want)
		}
	}
}

// FuzzAttachmentName: whatever comes, the name is one, and made of what is safe.
func FuzzAttachmentName(f *testing.F) {
	for _, seed := range []string{"report.pdf", "../x", ".", "-", "\xff\u202e", strings.Repeat("é", 99) + ".a", strings.Repeat(".", 200)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		name := AttachmentName(given)
		switch {
		case name == "" || len(name) > limits.AttachmentNameBytesMax || !utf8.ValidString(name):
			t.Errorf("%q becomes %q", given, name)
		case strings.ContainsAny(name, "/\\\x00\n") || name[0] == '.' || name[0] == '-':
			t.Errorf("%q becomes %q", given, name)
		case AttachmentName(name) != name:
			t.Errorf("%q becomes %q, and that %q", given, name, AttachmentName(name))
		}
	})
}
