// Man writes the manual pages of the program, a page a command, into a directory.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra/doc"

	"sallyport/internal/cli"
)

func main() {
	if err := write(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "man:", err)
		os.Exit(1)
	}
}

// write takes the directory and the program's version.
func write(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: man DIR VERSION")
	}
	if err := os.MkdirAll(args[0], 0o755); err != nil {
		return err
	}
	root := cli.Commands(args[1])
	root.DisableAutoGenTag = true // the same sources make the same pages
	return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "sallyport " + args[1], Manual: "Sallyport"}, args[0])
}
