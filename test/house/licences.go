package house

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

// licence is recognised by words that stand in no other's text.
type licence struct {
	kind    string
	words   string // lower case, single blanks
	allowed bool
}

// licences in the order in which they are looked for: the refused ones first,
// and of those the ones that quote others before the others.
var licences = []licence{
	{"MPL", "mozilla public license", false},
	{"EPL", "eclipse public license", false},
	{"CDDL", "common development and distribution license", false},
	{"SSPL", "server side public license", false},
	{"BUSL", "business source license", false},
	{"AGPL", "gnu affero general public license", false},
	{"LGPL", "gnu lesser general public license", false},
	{"GPL", "gnu general public license", false},
	{"Apache-2.0", "apache license version 2.0", true},
	{"MIT", "permission is hereby granted, free of charge", true},
	{"BSD", "redistribution and use in source and binary forms", true},
	{"ISC", "permission to use, copy, modify, and", true},
}

var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying)(\.(txt|md))?$`)

// checkLicence says what is wrong with the licence of the module in dir; "" is
// nothing.
func checkLicence(dir fs.FS) string {
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return err.Error()
	}
	for _, entry := range entries {
		if entry.IsDir() || !licenceFile.MatchString(entry.Name()) {
			continue
		}
		text, err := fs.ReadFile(dir, entry.Name())
		if err != nil {
			return err.Error()
		}
		return judge(entry.Name(), string(text))
	}
	return "no licence file in its root: do without this module"
}

func judge(name, text string) string {
	text = strings.ToLower(strings.Join(strings.Fields(text), " "))
	for _, l := range licences {
		if !strings.Contains(text, l.words) {
			continue
		}
		if l.allowed {
			return ""
		}
		return fmt.Sprintf("%s is %s, which asks of those who pass the program on what Apache-2.0 does not: do without this module", name, l.kind)
	}
	return name + " is of no kind known here: read it, and add its kind to licences in test/house/licences.go"
}
