package openapi

import (
	"html/template"
	"slices"
	"strings"
	"unicode"
)

// sampleColumnsMax is what a narrow screen shows without scrolling.
const sampleColumnsMax = 56

// samples are what to send, and what comes.
func (v *view) samples(method, path string, item, op *node) []sample {
	samples := []sample{{Label: "curl", Text: escaped(v.curl(method, path, item, op))}}
	for _, s := range op.get("x-codeSamples").list() {
		samples = append(samples, sample{Label: s.get("label").str(), Text: escaped(strings.TrimSpace(s.get("source").str()))})
	}
	if content := op.get("requestBody", "content").pairs(); len(content) > 0 {
		for i, e := range content[0].value.get("examples").pairs() {
			if i > 0 { // the first is in the curl line
				samples = append(samples, sample{Label: "Body: " + lower(e.value.get("summary").str()), Text: coloured(e.value.get("value")), Folded: true})
			}
		}
	}
	failed := false
	for _, r := range op.get("responses").pairs() {
		response, _ := r.value.follow(v.root)
		if r.name >= "400" {
			if failed { // one shows what all look like
				continue
			}
			failed = true
		}
		for _, media := range response.get("content").pairs() {
			for i, e := range media.value.get("examples").pairs() {
				if failed && i > 0 {
					break
				}
				example, _ := e.value.follow(v.root)
				samples = append(samples, answerSample(r.name, media.name, i, example))
			}
		}
	}
	return samples
}

// answerSample shows the first example of what goes well, and folds the rest.
func answerSample(status, mediaType string, i int, example *node) sample {
	label := status
	if summary := example.get("summary").str(); summary != "" {
		label += " " + lower(summary)
	}
	plain := mediaType == "application/json" || mediaType == "application/x-ndjson"
	if !plain {
		label += " · " + mediaType
	}
	s := sample{Label: label, Folded: i > 0 || status >= "400" || !plain && mediaType != "text/event-stream"}
	s.Folded = s.Folded || mediaType == "text/event-stream" && strings.Contains(example.get("value").str(), "event: frame")
	value := example.get("value")
	if value.kind == '"' {
		s.Text = escaped(visible(strings.TrimRight(value.str(), "\n")))
	} else {
		s.Text = coloured(value)
	}
	return s
}

// curl is a line for a shell that uses the operation.
func (v *view) curl(method, path string, item, op *node) string {
	for _, p := range slices.Concat(item.get("parameters").list(), op.get("parameters").list()) {
		p, _ = p.follow(v.root)
		path = strings.ReplaceAll(path, "{"+p.get("name").str()+"}", p.get("example").str())
	}
	flags := "-s"
	if op.get("responses", "200", "content", "text/event-stream") != nil {
		flags += "N"
	}
	line := "curl " + flags + " "
	if method != "GET" && (method != "POST" || op.get("requestBody") == nil) {
		line += "-X " + method + " "
	}
	line += `"$SALLYPORT_URL` + path + `"`
	if len(op.get("security").list()) > 0 {
		line += " \\\n  -H \"Authorization: Bearer $SALLYPORT_TOKEN\""
	}
	if content := op.get("requestBody", "content").pairs(); len(content) > 0 {
		body := content[0].value.get("examples").pairs()[0].value.get("value").json(sampleColumnsMax)
		line += " \\\n  -d '" + strings.ReplaceAll(body, "'", `'\''`) + "'"
	}
	return line
}

// visible shows bytes that have no sign of their own as escapes.
func visible(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsControl(r) && r != '\n' {
			b.WriteString(`\x` + string("0123456789abcdef"[r>>4]) + string("0123456789abcdef"[r&15]))
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func lower(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

func escaped(s string) template.HTML { return template.HTML(template.HTMLEscapeString(s)) }

// coloured is JSON with its tokens in classes.
func coloured(n *node) template.HTML {
	return template.HTML(n.write(sampleColumnsMax, func(class, token string) string {
		return `<span class="` + class + `">` + template.HTMLEscapeString(token) + `</span>`
	}))
}
