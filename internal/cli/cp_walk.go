package cli

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// walked is an entry below a directory of a workspace, and its name relative to that.
type walked struct {
	name  string
	entry sallyport.FileEntry
}

// walkRemote yields all that is below a directory, in the order of lists, however deep.
func walkRemote(ctx context.Context, files *client.Files, dir string) iter.Seq2[walked, error] {
	return func(yield func(walked, error) bool) {
		walkBelow(ctx, files, dir, dir, yield)
	}
}

// walkBelow walks at, which is top or below it. It tells whether to go on.
func walkBelow(ctx context.Context, files *client.Files, top, at string, yield func(walked, error) bool) bool {
	for e, err := range files.All(ctx, at, client.ListFiles{Depth: limits.FileDepthMax}) {
		if err != nil {
			return yield(walked{}, err)
		}
		path, err := e.RawPath()
		name, ok := relativePath(top, path)
		below, isBelow := relativePath(at, path)
		if err != nil || !ok || !isBelow || name == "" {
			return yield(walked{}, fmt.Errorf("the server listed %q as below %q", path, at))
		}
		if !yield(walked{name, e}, nil) {
			return false
		}
		isDeepest := strings.Count(below, "/") == limits.FileDepthMax-1
		if isDeepest && e.Type == sallyport.FileTypeDir && !walkBelow(ctx, files, top, path, yield) {
			return false
		}
	}
	return true
}
