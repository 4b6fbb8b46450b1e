package cli

import (
	"path"
	"path/filepath"
	"strings"
)

// place is where something is copied from or to: a path of a workspace, a local path, or
// stdin and stdout.
type place struct {
	// word is what was typed.
	word string
	// workspace is as it was typed; "" is here.
	workspace string
	// path is relative to the workspace's root, without "." and a slash at its end; or a
	// local path as it was typed.
	path string
	// isDir: the word ends as only a directory's can.
	isDir bool
	// isWithin: the word ends in "." or "..", and so names what is in a directory.
	isWithin bool
}

// parsePlace reads WORKSPACE:PATH, "-", or a local path. One with a colon has a slash before it.
func parsePlace(word string) (place, error) {
	before, after, found := strings.Cut(word, ":")
	if found && before != "" && !strings.Contains(before, "/") {
		return parseRemote(word, before, after)
	}
	if word == "" {
		return place{}, usagef("a path of this machine, or WORKSPACE:PATH", "a path is empty")
	}
	base := path.Base(word)
	isWithin := base == "." || base == ".." || base == "/"
	return place{word: word, path: word, isDir: strings.HasSuffix(word, "/") || isWithin, isWithin: isWithin}, nil
}

func parseRemote(word, workspace, typed string) (place, error) {
	p := place{word: word, workspace: workspace}
	if strings.HasPrefix(typed, "/") {
		return p, usagef("it is relative to the workspace's root: "+workspace+":"+strings.TrimLeft(typed, "/"),
			"%q: a path of a workspace begins with no slash", word)
	}
	elements := strings.Split(typed, "/")
	last := elements[len(elements)-1]
	p.isDir = last == "" || last == "."
	p.isWithin = last == "." || typed == ""
	var kept []string
	for _, element := range elements {
		switch element {
		case "", ".":
		case "..":
			return p, usagef("name the directory itself", "%q: a path of a workspace has no \"..\"", word)
		default:
			kept = append(kept, element)
		}
	}
	p.path = strings.Join(kept, "/")
	p.isWithin = p.isWithin || p.path == ""
	return p, nil
}

// parseRemotes reads arguments that are all WORKSPACE:PATH.
func parseRemotes(words []string) ([]place, error) {
	places := make([]place, 0, len(words))
	for _, word := range words {
		p, err := parsePlace(word)
		if err != nil {
			return nil, err
		}
		if p.workspace == "" {
			return nil, usagef("write it as WORKSPACE:PATH, for example build:"+strings.TrimLeft(word, "/"), "%q names no workspace", word)
		}
		places = append(places, p)
	}
	return places, nil
}

// isStd tells stdin or stdout.
func (p place) isStd() bool { return p.workspace == "" && p.word == stdName }

// base is the name of what is at the place; "" if it has none.
func (p place) base() string {
	switch {
	case p.isWithin:
		return ""
	case p.workspace != "":
		return path.Base(p.path)
	}
	return filepath.Base(p.path)
}

// below is the place of a name in a directory.
func (p place) below(name string) place {
	switch {
	case name == "":
	case p.workspace == "":
		p.path = filepath.Join(p.path, name)
		p.word = p.path
	default:
		p.path = joinPath(p.path, name)
		p.word = p.workspace + ":" + p.path
	}
	p.isDir, p.isWithin = false, false
	return p
}

// joinPath is the path of a name below a directory of a workspace; "" is its root.
func joinPath(dir, name string) string {
	if dir == "" || name == "" {
		return dir + name
	}
	return dir + "/" + name
}

// relativePath is a path below dir, relative to it.
func relativePath(dir, below string) (name string, ok bool) {
	if dir == "" {
		return below, true
	}
	return strings.CutPrefix(below, dir+"/")
}
