package openapi

import (
	"html/template"
	"regexp"
	"strings"
)

// heading is one of a text, and where it stands.
type heading struct{ ID, Name string }

// text renders a description; nil is "".
func text(n *node) template.HTML {
	html, _ := markdown(n.str())
	return html
}

// markdown renders as much of CommonMark as the document uses: headings of the second
// level, paragraphs, lists of one level, and what inline knows.
func markdown(source string) (template.HTML, []heading) {
	var html strings.Builder
	var headings []heading
	for _, block := range strings.Split(strings.TrimSpace(source), "\n\n") {
		switch {
		case block == "":
		case strings.HasPrefix(block, "## "):
			h := heading{Name: strings.TrimPrefix(block, "## ")}
			h.ID = "about-" + strings.ReplaceAll(strings.ToLower(h.Name), " ", "-")
			headings = append(headings, h)
			html.WriteString(`<h2 id="` + template.HTMLEscapeString(h.ID) + `">` + template.HTMLEscapeString(h.Name) + "</h2>\n")
		case strings.HasPrefix(block, "- "):
			html.WriteString("<ul>\n")
			for _, item := range strings.Split(strings.TrimPrefix(block, "- "), "\n- ") {
				html.WriteString("<li>" + string(inline(item)) + "</li>\n")
			}
			html.WriteString("</ul>\n")
		default:
			html.WriteString("<p>" + string(inline(block)) + "</p>\n")
		}
	}
	return template.HTML(html.String()), headings
}

var (
	codeSpan = regexp.MustCompile("`([^`]+)`")
	strong   = regexp.MustCompile(`\*\*([^*]+)\*\*`)
	anchor   = regexp.MustCompile(`\[([^\]]+)\]\((#[A-Za-z0-9-]+)\)`)
)

// inline renders code, emphasis, and links within the page. All else is text.
func inline(source string) template.HTML {
	var html strings.Builder
	at := 0
	for _, span := range codeSpan.FindAllStringSubmatchIndex(source, -1) {
		html.WriteString(prose(source[at:span[0]]))
		html.WriteString("<code>" + template.HTMLEscapeString(source[span[2]:span[3]]) + "</code>")
		at = span[1]
	}
	html.WriteString(prose(source[at:]))
	return template.HTML(html.String())
}

func prose(s string) string {
	s = template.HTMLEscapeString(s)
	s = strong.ReplaceAllString(s, "<strong>$1</strong>")
	return anchor.ReplaceAllString(s, `<a href="$2">$1</a>`)
}
