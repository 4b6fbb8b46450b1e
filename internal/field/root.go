package field

import (
	"slices"
	"strings"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// CheckRoot returns invalid_connector for a root of files that can be none.
func CheckRoot(root string) error {
	switch {
	case len(root) > limits.PathBytesMax:
		return sallyport.Errorf(sallyport.CodeInvalidConnector, "root has at most %d bytes", limits.PathBytesMax)
	case strings.ContainsRune(root, 0):
		return sallyport.Errorf(sallyport.CodeInvalidConnector, "root holds no NUL byte")
	case slices.Contains(strings.Split(root, "/"), ".."):
		return sallyport.Errorf(sallyport.CodeInvalidConnector, `root holds no ".."`)
	}
	return nil
}
