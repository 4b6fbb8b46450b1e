// Package openapi holds the document of the HTTP API, as OpenAPI 3.1 has it, and
// the page on which people read it.
//
// openapi.json is made from openapi.yaml, which is written by hand: go generate
// ./internal/openapi. Tests hold it to the routes, the wire types and the
// error codes, and test/spec holds every answer of the end-to-end tests to it.
package openapi

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
)

//go:generate go run ./gen

//go:embed openapi.json
var document []byte

// Document returns the document as JSON. The caller doesn't change it.
func Document() []byte { return document }

// File is something to serve whole. Nobody changes it.
type File struct {
	MediaType string
	Body      []byte
	// ETag names this body: another has another one. It is quoted, as the header
	// wants it.
	ETag string
	// Policy is the Content-Security-Policy of a page; "" is for what is none.
	Policy string
}

// Files are what the package has to serve.
type Files struct {
	Document, Page File
}

// Load makes the files from the document, with the program's version in it; "" leaves
// the document's own. An error is a fault of the program's.
func Load(version string) (Files, error) {
	root, err := parse(document)
	if err != nil {
		return Files{}, err
	}
	body := document
	if version != "" {
		root.get("info").set("version", str(version))
		body = []byte(root.json(100) + "\n")
	}
	page, err := newPage(root)
	if err != nil {
		return Files{}, err
	}
	return Files{
		Document: File{MediaType: "application/json", Body: body, ETag: etag(body)},
		Page:     page,
	}, nil
}

func etag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
}

// sourceHash names a style or a script in a Content-Security-Policy.
func sourceHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
