package config

import (
	"fmt"
	"strings"
)

const referenceIntro = `# Configuration

<!-- Made from the table of keys in internal/config/keys.go: go test ./internal/config -run Reference -update -->

Values come from four sources, each of which overrides the ones before it: the defaults, the YAML file that
` + "`sallyport server --config FILE`" + ` names, the environment, and flags. ` + "`sallyport config`" + ` prints what is in force and
where it came from, secrets hidden.

- In the file, a section may be nested or written with dots: ` + "`tls: {cert_file: …}`" + ` is ` + "`tls.cert_file: …`" + `.
  Unknown keys, keys that are set twice, aliases and a second document are errors, and so is a file over %d KiB.
- A variable of the environment that is empty counts as not set.
- A duration is a number with its unit: ` + "`250ms`, `30s`, `5m`" + `.
- A list is a YAML list in the file, and comma-separated elsewhere.
- A wrong value is an error at the start, also where another source overrides it.
- ` + "`sallyport dev`" + ` reads the same environment and the flags, but no file.
- Traces have no keys here: OpenTelemetry's own variables say where they go ([traces](traces.md)).

` + "A key *of a later version* is known, but setting it is an error: a server never obeys half of its configuration.\n"

// Reference returns the reference of every key, in Markdown.
func Reference() string {
	var b strings.Builder
	fmt.Fprintf(&b, referenceIntro, fileBytesMax>>10)
	for _, g := range groups() {
		fmt.Fprintf(&b, "\n## %s\n\n", g.title)
		b.WriteString("| key | environment | flag | default | takes | meaning |\n|---|---|---|---|---|---|\n")
		for _, k := range g.keys {
			fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s | %s | %s |\n",
				k.name, k.env, k.flagCell(), k.defaultCell(), k.takesCell(), k.meaningCell())
		}
	}
	return b.String()
}

func (k key) flagCell() string {
	switch {
	case k.flag == "":
		return ""
	case k.serverFlag:
		return fmt.Sprintf("`--%s` (not `dev`)", k.flag)
	}
	return fmt.Sprintf("`--%s`", k.flag)
}

func (k key) defaultCell() string {
	server, dev := defaultText(k.server), defaultText(k.dev)
	if k.madeInDev && k.secret {
		dev = "made at each start"
	}
	if server == dev {
		return server
	}
	return fmt.Sprintf("%s; `dev`: %s", server, dev)
}

func defaultText(s string) string {
	if s == "" {
		return "none"
	}
	return "`" + s + "`"
}

func (k key) takesCell() string {
	switch {
	case k.kind == kindBool:
		return "`true` or `false`"
	case k.takes == "":
		return string(k.kind)
	case k.kind == kindString:
		return k.takes
	}
	return fmt.Sprintf("%s: %s", k.kind, k.takes)
}

func (k key) meaningCell() string {
	meaning := k.meaning
	if k.secret {
		meaning += " Secret: never shown."
	}
	return meaning
}
