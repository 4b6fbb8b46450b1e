package openapi

import (
	"regexp"
	"strings"
	"testing"
)

func newFiles(t testing.TB) Files {
	t.Helper()
	files, err := Load("")
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestPageShowsAll: every operation, code, parameter, schema and field of the document
// stands on the page.
func TestPageShowsAll(t *testing.T) {
	html := string(newFiles(t).Page.Body)
	root := newRoot(t)
	want := []string{}
	for _, path := range root.get("paths").pairs() {
		for _, m := range path.value.pairs() {
			if id := m.value.get("operationId").str(); id != "" {
				want = append(want, `id="`+id+`"`, "<code>"+path.name+"</code>")
			}
		}
	}
	for _, p := range root.get("components", "parameters").pairs() {
		want = append(want, `<code class="name">`+p.value.get("name").str()+"</code>")
	}
	for _, code := range values(root.get("components", "schemas", "ErrorCode", "enum")) {
		want = append(want, "<code>"+code+"</code>")
	}
	for _, s := range root.get("components", "schemas").pairs() {
		if isShown(s.value) {
			want = append(want, `id="schema-`+s.name+`"`)
		}
		for _, p := range s.value.get("properties").pairs() {
			want = append(want, `<code class="name">`+p.name+"</code>")
		}
	}
	for _, w := range want {
		if !strings.Contains(html, w) {
			t.Errorf("the page lacks %s", w)
		}
	}
}

// TestPageLinks: whatever the page leads to is on it, or beside it; no two places
// have one name.
func TestPageLinks(t *testing.T) {
	html := string(newFiles(t).Page.Body)
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(`\bid="([^"]*)"`).FindAllStringSubmatch(html, -1) {
		if ids[m[1]] {
			t.Errorf("two places are called %s", m[1])
		}
		ids[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`\bhref="([^"]*)"`).FindAllStringSubmatch(html, -1) {
		place, inPage := strings.CutPrefix(m[1], "#")
		switch {
		case inPage && !ids[place]:
			t.Errorf("a link leads to %s, which there is not", m[1])
		case !inPage && m[1] != "openapi.json" && !strings.HasPrefix(m[1], "data:image/svg+xml,"):
			t.Errorf("a link leads away: %s", m[1])
		}
	}
}

// TestPagePolicy: the page keeps what its policy says: one style and one script, named
// by their hashes, and nothing else that runs, loads or styles.
func TestPagePolicy(t *testing.T) {
	page := newFiles(t).Page
	html := string(page.Body)
	for kind, tag := range map[string]string{"style-src": "style", "script-src": "script"} {
		found := regexp.MustCompile(`(?s)<`+tag+`>(.*?)</`+tag+`>`).FindAllStringSubmatch(html, -1)
		if len(found) != 1 || !strings.Contains(page.Policy, kind+" "+sourceHash(found[0][1])+";") {
			t.Errorf("%d of %s, and the policy is %s", len(found), tag, page.Policy)
		}
		if n := strings.Count(html, "<"+tag); n != 1 {
			t.Errorf("%d elements %s", n, tag)
		}
	}
	if !strings.HasPrefix(page.Policy, "default-src 'none'; ") || strings.Contains(page.Policy, "unsafe") {
		t.Errorf("policy %s", page.Policy)
	}
	markup := regexp.MustCompile(`(?s)<(style|script)>.*?</`).ReplaceAllString(html, "")
	if m := regexp.MustCompile(`<[^>]*\s(style|on[a-z]+|src|srcset|action)=[^>]*>`).FindString(markup); m != "" {
		t.Errorf("the policy forbids %s", m)
	}
	for _, never := range []string{"eval(", "new Function", "innerHTML", "http://", "https://"} {
		if strings.Contains(pageScript+pageStyle, never) {
			t.Errorf("the page has %s", never)
		}
	}
}

// TestMarkdown: what a description says is text, whatever is in it.
func TestMarkdown(t *testing.T) {
	for source, want := range map[string]string{
		"a <b> & `<c>`":                   "<p>a &lt;b&gt; &amp; <code>&lt;c&gt;</code></p>\n",
		"**bold** and `**code**`":         "<p><strong>bold</strong> and <code>**code**</code></p>\n",
		"[Here](#exec)":                   `<p><a href="#exec">Here</a></p>` + "\n",
		"[There](javascript:alert)":       "<p>[There](javascript:alert)</p>\n",
		"- one\n  goes on\n- two\n\nthen": "<ul>\n<li>one\n  goes on</li>\n<li>two</li>\n</ul>\n<p>then</p>\n",
		"## Two words\n\nx":               `<h2 id="about-two-words">Two words</h2>` + "\n<p>x</p>\n",
		"":                                "",
	} {
		if got, _ := markdown(source); string(got) != want {
			t.Errorf("%q: got %q, want %q", source, got, want)
		}
	}
}

// TestETags: other content has another name.
func TestETags(t *testing.T) {
	files := newFiles(t)
	if files.Document.ETag == files.Page.ETag || files.Document.ETag != newFiles(t).Document.ETag {
		t.Errorf("document %s, page %s", files.Document.ETag, files.Page.ETag)
	}
}

// TestVersion: the document and the page have the program's version, and are else the
// same.
func TestVersion(t *testing.T) {
	t.Parallel()
	files, err := Load("v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	const own = `"version": "dev"`
	want := strings.Replace(string(Document()), own, `"version": "v1.2.3"`, 1)
	if got := string(files.Document.Body); got != want || !strings.Contains(string(Document()), own) {
		t.Error("the document differs in more than its version, or not at all")
	}
	if !strings.Contains(string(files.Page.Body), "v1.2.3") {
		t.Error("the page doesn't tell the version")
	}
}
