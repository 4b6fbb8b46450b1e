package cli

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "",
		"plain, größer, 日本, 🙂":     "plain, größer, 日本, 🙂",
		`a\nb`:                     `a\nb`,
		"a\nb\r\t":                 `a\nb\r\t`,
		"\x1b[31mred\x07\x7f":      `\x1b[31mred\x07\x7f`,
		"a\u202eb\u2066\u200b":     `a\u202eb\u2066\u200b`,
		"\u009b2J":                 `\u009b2J`,
		"a\u2028b":                 `a\u2028b`,
		"\xff\xc3":                 `\xff\xc3`,
		"\U000e0041":               `\U000e0041`,
		"no\u00a0break":            `no\u00a0break`,
		"the replacement � itself": "the replacement � itself",
	} {
		if got := visible(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestVisibleJSON(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"a":"größer 日本 🙂"}`:                                   `{"a":"größer 日本 🙂"}`,
		"{\"a\u202eb\":\"\u2066\u200b\ufeff\u00ad\u009b\x7f\"}": `{"a\u202eb":"\u2066\u200b\ufeff\u00ad\u009b\u007f"}`,
		"[\"\U000e0041\"]\n":                                    `["\udb40\udc41"]` + "\n",
	} {
		got := string(visibleJSON([]byte(in)))
		if got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
		var before, after any
		if json.Unmarshal([]byte(in), &before) != nil || json.Unmarshal([]byte(got), &after) != nil || !reflect.DeepEqual(before, after) {
			t.Errorf("%q means something else than %q", got, in)
		}
	}
}

func FuzzVisible(f *testing.F) {
	f.Add("a\x1b\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := visible(s)
		if !utf8.ValidString(got) || strings.IndexFunc(got, isHidden) >= 0 {
			t.Errorf("%q: %q", s, got)
		}
	})
}

func TestPlainly(t *testing.T) {
	for in, want := range map[string]string{
		"No such workspace.": "no such workspace",
		"SSH is down":        "SSH is down",
		"a. b":               "a. b",
		"Über":               "über",
		"x\ny.":              `x\ny`,
		"":                   "",
	} {
		if got := plainly(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
