package cli

import (
	"errors"
	"testing"
)

func TestParseForward(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]forwardPort{
		"5432":                 {5432, "127.0.0.1", 5432},
		"15432:5432":           {15432, "127.0.0.1", 5432},
		"0:5432":               {0, "127.0.0.1", 5432},
		":5432":                {0, "127.0.0.1", 5432},
		"db.internal:5432":     {5432, "db.internal", 5432},
		"1:db:5432":            {1, "db", 5432},
		":db:5432":             {0, "db", 5432},
		"0:192.0.2.7:80":       {0, "192.0.2.7", 80},
		"192.0.2.7:80":         {80, "192.0.2.7", 80},
		"[::1]:80":             {80, "::1", 80},
		"8080:[::1]:80":        {8080, "::1", 80},
		":[2001:db8::5]:65535": {0, "2001:db8::5", 65535},
		"80:1db:80":            {80, "1db", 80},
	} {
		if got, err := parseForward(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", ":", "0", "65536", "db", "db:", "80:0", "1:2:3", "::80", "1::80", "::1:80", "[::1]80", "[::1]", "[db]:80", "[]:80", "65536:80",
		"80:-1", "80:+1", "a:b:80", "1:db:x", "8080:::1:80", "1:[::1:80",
	} {
		var usage *usageError
		if got, err := parseForward(text); !errors.As(err, &usage) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}
