package httpapi

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
	"sallyport/internal/limits"
)

// filePath checks a path of a workspace's files, in bytes. What names the server's own is
// refused as well.
func filePath(path string) (string, error) {
	const code = sallyport.CodeInvalidPath
	path = strings.TrimSuffix(path, "/")
	if path == "" {
		return "", nil
	}
	if len(path) > limits.PathBytesMax {
		return "", sallyport.Errorf(code, "a path has at most %d bytes", limits.PathBytesMax)
	}
	for name := range strings.SplitSeq(path, "/") {
		switch {
		case name == "", name == ".", name == "..":
			return "", sallyport.Errorf(code, `a path is relative to the workspace's root, without empty names, "." and ".."`)
		case len(name) > limits.NameBytesMax:
			return "", sallyport.Errorf(code, "a name in a path has at most %d bytes", limits.NameBytesMax)
		case strings.ContainsRune(name, 0):
			return "", sallyport.Errorf(code, "a path holds no NUL byte")
		case gateway.IsOwnFile(name):
			return "", sallyport.Errorf(code, "names that begin with .sallyport are the server's own")
		}
	}
	return path, nil
}

// urlFilePath is the path behind /files/.
func (c *call) urlFilePath() (string, error) { return filePath(c.r.PathValue("path")) }

// notRoot refuses the root itself.
func notRoot(path string) error {
	if path == "" {
		return sallyport.Errorf(sallyport.CodeInvalidPath, "the root itself can't be written, moved or deleted")
	}
	return nil
}

// params are the query's, each known and given once.
type params struct{ url.Values }

// params reads the query, and refuses what is not in known; org is taken everywhere.
func (c *call) params(known ...string) (params, error) {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return params{}, sallyport.Errorf(sallyport.CodeInvalidJSON, "the query can't be read: each byte is itself or percent-encoded")
	}
	for name := range values {
		if name != "org" && !slices.Contains(known, name) {
			return params{}, sallyport.Errorf(sallyport.CodeUnknownField, "unknown query parameter %.100q", name)
		}
		if len(values[name]) > 1 {
			return params{}, sallyport.Errorf(sallyport.Code("invalid_"+name), "%s is given more than once", name)
		}
	}
	return params{values}, nil
}

// boolean is a parameter that is true or false; missing is false.
func (p params) boolean(name string) (bool, error) {
	switch {
	case !p.Has(name), p.Get(name) == "false":
		return false, nil
	case p.Get(name) == "true":
		return true, nil
	}
	return false, sallyport.Errorf(sallyport.Code("invalid_"+name), "%s must be true or false", name)
}

// integer is a whole number from least on, else fallback where it is missing.
func (p params) integer(name string, least, fallback int) (int, error) {
	if !p.Has(name) {
		return fallback, nil
	}
	n, err := strconv.Atoi(p.Get(name))
	if err != nil || n < least {
		return 0, sallyport.Errorf(sallyport.Code("invalid_"+name), "%s must be a whole number from %d on", name, least)
	}
	return n, nil
}

// fileMode reads 1 to 4 octal digits, up to most; nil is none.
func fileMode(text string, given bool, most uint64) (*uint32, error) {
	if !given {
		return nil, nil
	}
	n, err := strconv.ParseUint(text, 8, 32)
	if err != nil || len(text) > 4 || n > most {
		return nil, sallyport.Errorf(sallyport.CodeInvalidMode, "mode must be 1 to 4 octal digits, at most %04o, for example 0644", most)
	}
	mode := uint32(n)
	return &mode, nil
}

// fileTime reads RFC 3339; nil is none.
func fileTime(text string, given bool) (*time.Time, error) {
	if !given {
		return nil, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return nil, sallyport.Errorf(sallyport.CodeInvalidMtime, "mtime must be a time as RFC 3339 has it, for example 2026-01-02T03:04:05.678Z")
	}
	return &t, nil
}

// rawText is a path of a body, in either of its two fields.
func rawText(text, coded *string, code sallyport.Code) (string, error) {
	switch {
	case text != nil && coded != nil:
		return "", sallyport.Errorf(code, "give the path, or its base64, not both")
	case text != nil:
		return *text, nil
	case coded == nil:
		return "", sallyport.Errorf(code, "the path is missing")
	}
	raw, err := base64.StdEncoding.DecodeString(*coded)
	if err != nil {
		return "", sallyport.Errorf(code, "it is not base64")
	}
	return string(raw), nil
}

// wireEntry is an entry as the API shows it.
func wireEntry(e gateway.FileEntry) sallyport.FileEntry {
	name := e.Path[strings.LastIndexByte(e.Path, '/')+1:]
	out := sallyport.FileEntry{
		Type: string(e.Type), Mode: octal(e.Mode), Mtime: e.ModTime, UID: e.UID, GID: e.GID, ETag: e.ETag, Unreadable: e.Unreadable,
	}
	out.Path, out.PathBase64 = sallyport.FileText(e.Path)
	out.Name, out.NameBase64 = sallyport.FileText(name)
	switch out.Type {
	case sallyport.FileTypeFile:
		out.Size = &e.Size
	case sallyport.FileTypeLink:
		out.Target, out.TargetBase64 = sallyport.FileText(e.Target)
	}
	return out
}

func octal(mode uint32) string {
	text := strconv.FormatUint(uint64(mode), 8)
	return strings.Repeat("0", max(0, 4-len(text))) + text
}
