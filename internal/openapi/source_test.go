package openapi

import (
	"bytes"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "make openapi.json from openapi.yaml")

// TestDocumentIsMade: openapi.json is what comes of openapi.yaml.
func TestDocumentIsMade(t *testing.T) {
	source, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	made, err := Expand(source)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("openapi.json", made, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(made, Document()) {
		t.Error("openapi.json is not what openapi.yaml says: go generate ./internal/openapi, and look at the difference")
	}
}
