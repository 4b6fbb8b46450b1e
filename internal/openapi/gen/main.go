// Gen makes openapi.json from openapi.yaml, in the working directory.
package main

import (
	"fmt"
	"os"

	"sallyport/internal/openapi"
)

func main() {
	if err := generate(); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func generate() error {
	source, err := os.ReadFile("openapi.yaml")
	if err != nil {
		return err
	}
	document, err := openapi.Expand(source)
	if err != nil {
		return err
	}
	return os.WriteFile("openapi.json", document, 0o644)
}
