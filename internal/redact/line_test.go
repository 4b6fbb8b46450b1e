package redact

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestLine(t *testing.T) {
	tests := []struct{ in, want string }{
		{"workspace build-1 created", "workspace build-1 created"},
		{"token a\nb\u202e", `token a\nb\u202e`},
		{"PASSWORD=hunter2", "PASSWORD=" + Mark},
	}
	for _, tt := range tests {
		if got := Line(tt.in); got != tt.want {
			t.Errorf("Line(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
	if got := Line(strings.Repeat("é", 300)); utf8.RuneCountInString(got) != 200 || !strings.HasSuffix(got, "…") {
		t.Errorf("a long line is %q", got)
	}
}
