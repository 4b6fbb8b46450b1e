package httpapi

import (
	"encoding/json"
	"strings"
	"testing"

	"sallyport/internal/openapi"
)

// TestRoutesAreDescribed: the document has every route and no other, and says of each
// whether it takes a token.
func TestRoutesAreDescribed(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(openapi.Document(), &doc); err != nil {
		t.Fatal(err)
	}
	described := map[string]bool{} // whether it is public
	for path, item := range doc.Paths {
		for method, text := range item {
			if method == "parameters" {
				continue
			}
			var op struct{ Security []any }
			if err := json.Unmarshal(text, &op); err != nil {
				t.Fatal(err)
			}
			described[strings.ToUpper(method)+" "+path] = len(op.Security) == 0
		}
	}
	for _, r := range routes() {
		what := r.method + " " + strings.ReplaceAll(r.pattern, "...}", "}") // a path that holds slashes
		public, ok := described[what]
		if !ok || public != r.public {
			t.Errorf("%s: public %t; described %t, as public %t", what, r.public, ok, public)
		}
		delete(described, what)
	}
	for what := range described {
		t.Errorf("%s is described, and no route", what)
	}
}

func TestHasETag(t *testing.T) {
	for _, tt := range []struct {
		given []string
		want  bool
	}{
		{nil, false}, {[]string{""}, false}, {[]string{`"a"`}, true}, {[]string{`W/"a"`}, true}, {[]string{"*"}, true}, {[]string{`"b", "a"`}, true},
		{[]string{`"b"`, `"a"`}, true}, {[]string{"a"}, false}, {[]string{`"ab"`}, false}, {[]string{`"b"`}, false},
	} {
		if got := hasETag(tt.given, `"a"`); got != tt.want {
			t.Errorf("%q: %t", tt.given, got)
		}
	}
}
