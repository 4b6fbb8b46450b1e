package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"sallyport/internal/disk"
	"sallyport/internal/identity"
)

// fileBytesMax bounds the configuration file: two thousand networks fit.
const fileBytesMax = 64 << 10

func (l *loading) readFile() (layer, error) {
	path := l.options.File
	if path == "" {
		return nil, nil
	}
	if l.options.Mode == ModeDev {
		return nil, errors.New("dev takes no configuration file: use flags or the environment")
	}
	body, err := readBounded(path)
	if err != nil {
		return nil, fmt.Errorf("configuration file %s can't be read: %w", path, err)
	}
	return parseFile("file "+path, body, l.keys)
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, disk.Cause(err)
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, fileBytesMax+1))
	if err != nil {
		return nil, disk.Cause(err)
	}
	if len(body) > fileBytesMax {
		return nil, fmt.Errorf("it is larger than %d KiB", fileBytesMax>>10)
	}
	return body, nil
}

// fileReader reads a configuration file. It looks at YAML nodes rather than Go
// values: they have the line of every key and the text of every scalar as it was
// typed, and nothing is expanded, whatever aliases there are.
type fileReader struct {
	source string
	keys   map[string]key
	// sections are the prefixes of keys' names, without the last dot.
	sections map[string]bool
	// lines holds where every key and section was met.
	lines  map[string]int
	values layer
}

// parseFile reads a configuration in YAML, in which sections may be nested or
// written with dots.
func parseFile(source string, body []byte, keys []key) (layer, error) {
	f := newFileReader(source, keys)
	root, err := parseYAML(body)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s is not valid YAML: %w", source, err)
	case root == nil || isNothing(root):
		return f.values, nil
	case root.Kind != yaml.MappingNode:
		return nil, f.errorf(root, "the file must hold keys and values, such as listen: 127.0.0.1:8080, not %s", describe(root))
	}
	return f.values, f.readSection("", root)
}

func newFileReader(source string, keys []key) *fileReader {
	f := &fileReader{source: source, keys: map[string]key{}, sections: map[string]bool{}, lines: map[string]int{}, values: layer{}}
	for _, k := range keys {
		f.keys[k.name] = k
		for i, c := range k.name {
			if c == '.' {
				f.sections[k.name[:i]] = true
			}
		}
	}
	return f
}

// parseYAML returns the root of the one document that there may be; nil when
// there is none. Its errors never hold any of the text.
func parseYAML(body []byte) (root *yaml.Node, err error) {
	defer func() {
		// The parser panics where it takes itself to be wrong; a configuration
		// that it can't read is no reason to crash.
		if recover() != nil {
			root, err = nil, errors.New("the parser gave up")
		}
	}()
	decoder := yaml.NewDecoder(bytes.NewReader(body))
	var document yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, explainYAML(err, body)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("it must be one document: leave out what follows the line ---")
	}
	return document.Content[0], nil
}

// explainYAML takes from a parser's error the word that it quotes: the name of
// an alias and may be a token that begins with an asterisk.
func explainYAML(err error, body []byte) error {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	switch {
	case strings.Contains(message, "anchor '"):
		return errors.New("it has an alias without an anchor: a value that begins with * needs quotes")
	case bytes.Contains(body, []byte("\t")):
		return fmt.Errorf("%s (lines are indented with blanks, never with tabs)", message)
	}
	return errors.New(message)
}

func (f *fileReader) readSection(prefix string, section *yaml.Node) error {
	for i := 0; i+1 < len(section.Content); i += 2 {
		if err := f.readEntry(prefix, section.Content[i], section.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// readEntry reads a key with its value, or a section. It goes no deeper than
// the names that are known.
func (f *fileReader) readEntry(prefix string, name, content *yaml.Node) error {
	if name.Kind != yaml.ScalarNode {
		return f.errorf(name, "a key is a word, not %s", describe(name))
	}
	path := prefix + name.Value
	k, isKey := f.keys[path]
	if !isKey && !f.sections[path] {
		return f.errorf(name, "unknown key %s%s", prefix+nameOf(name.Value), f.hint(path))
	}
	if line, ok := f.lines[path]; ok {
		return f.errorf(name, "%s is set already in line %d", path, line)
	}
	f.lines[path] = name.Line
	switch {
	case isKey:
		return f.readValue(k, content)
	case content.Kind == yaml.MappingNode:
		return f.readSection(path+".", content)
	case isNothing(content): // a section whose keys are all commented out
		return nil
	}
	return f.errorf(content, "%s is a section of keys and takes none but a map, not %s", path, describe(content))
}

func (f *fileReader) readValue(k key, content *yaml.Node) error {
	v := value{source: f.source, line: content.Line}
	if k.kind != kindList {
		if !fits(k.kind, content) {
			return f.mismatch(k.name, k.kind, content)
		}
		v.text = content.Value
		f.values[k.name] = v
		return nil
	}
	if content.Kind != yaml.SequenceNode {
		return f.mismatch(k.name, k.kind, content)
	}
	v.items = []string{}
	for _, item := range content.Content {
		if !fits(kindString, item) {
			return f.mismatch("an item of "+k.name, kindString, item)
		}
		v.items = append(v.items, item.Value)
	}
	f.values[k.name] = v
	return nil
}

// fits tells whether a node can be the value of a key. A duration without its
// unit is a number; its faults are reported elsewhere.
func fits(want kind, n *yaml.Node) bool {
	switch tag := n.ShortTag(); {
	case n.Kind != yaml.ScalarNode:
		return false
	case want == kindBool:
		return tag == "!!bool"
	case want == kindNumber:
		return tag == "!!int"
	case want == kindDuration:
		return tag == "!!str" || tag == "!!int" || tag == "!!float"
	default:
		return tag == "!!str"
	}
}

func (f *fileReader) mismatch(what string, want kind, n *yaml.Node) error {
	hint := ""
	if want == kindString && n.Kind == yaml.ScalarNode {
		hint = ": put the value in quotes"
	}
	return f.errorf(n, "%s takes a %s, not %s%s", what, want, describe(n), hint)
}

// errorf names the place of a node behind the sentence.
func (f *fileReader) errorf(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s (%s)", fmt.Sprintf(format, args...), value{source: f.source, line: n.Line}.where())
}

func isNothing(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// describe says what a node is, and nothing of what it holds.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.ShortTag() {
	case "!!str":
		return "a string"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "a bool"
	case "!!null":
		return "nothing"
	case "!!timestamp":
		return "a date"
	}
	return "a value with a tag"
}

// nameOf shows a name that is not ours up to where it stops being a word: behind
// a colon without a blank stands a value, and it may be a secret.
func nameOf(name string) string {
	if identity.Claims(name) {
		return "sp_…"
	}
	end := strings.IndexFunc(name, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' && r != '-' && r != '.'
	})
	if end < 0 {
		end = len(name)
	}
	if end = min(end, shownCharsMax); end < len(name) {
		return name[:end] + "…"
	}
	return name
}
