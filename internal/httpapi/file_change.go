package httpapi

import (
	"context"
	"net/http"

	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
)

// deleteFile is DELETE …/files/{path}.
func (c *call) deleteFile() error {
	path, err := c.urlFilePath()
	if err != nil {
		return err
	}
	query, err := c.params("recursive")
	if err != nil {
		return err
	}
	recursive, err := query.boolean("recursive")
	if err != nil {
		return err
	}
	if err := notRoot(path); err != nil {
		return err
	}
	conds := conditionsOf(c.r.Header)
	err = c.file(gateway.File{Op: sallyport.FileOpDelete, Path: path, Writes: true, Slow: recursive}, func(ctx context.Context, tree *gateway.FileTree, outcome *gateway.FileOutcome) error {
		if conds.any() {
			defer tree.Alone(path)()
		}
		n, err := tree.Remove(ctx, path, recursive, conds.ready)
		outcome.Entries = &n
		if recursive {
			err = withEntries(err, n)
		}
		return err
	})
	if err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// changeFile is PATCH …/files/{path}.
func (c *call) changeFile() error {
	path, err := c.urlFilePath()
	if err != nil {
		return err
	}
	if _, err := c.params(); err != nil {
		return err
	}
	change, err := c.fileChange()
	if err != nil {
		return err
	}
	conds := conditionsOf(c.r.Header)
	var entry gateway.FileEntry
	err = c.file(gateway.File{Op: sallyport.FileOpChange, Path: path, Writes: true}, func(ctx context.Context, tree *gateway.FileTree, _ *gateway.FileOutcome) (err error) {
		if conds.any() {
			defer tree.Alone(path)()
		}
		entry, err = tree.Change(ctx, path, change, conds.ready)
		return err
	})
	if err != nil {
		return err
	}
	c.answerEntry(http.StatusOK, entry)
	return nil
}

// actOnFile is POST …/files/{path}.
func (c *call) actOnFile() error {
	path, err := c.urlFilePath()
	if err != nil {
		return err
	}
	if _, err := c.params(); err != nil {
		return err
	}
	action, err := c.fileAction()
	if err != nil {
		return err
	}
	if err := notRoot(path); err != nil && action.Action != sallyport.FileActionCopy {
		return err
	}
	if action.Action == sallyport.FileActionReplace {
		return c.replaceInFile(path, action)
	}
	return c.placeFile(path, action)
}

// placeFile moves or copies.
func (c *call) placeFile(path string, action sallyport.FileAction) error {
	raw, err := rawText(action.To, action.ToBase64, sallyport.CodeInvalidTo)
	if err != nil {
		return err
	}
	to, err := filePath(raw)
	if err == nil {
		err = notRoot(to)
	}
	if err != nil {
		return err
	}
	if path == "" {
		return sallyport.Errorf(sallyport.CodeInvalidTo, "the root can't be copied into itself")
	}
	conds := conditionsOf(c.r.Header)
	placing := gateway.FilePlacing{Overwrite: action.Overwrite, Recursive: action.Recursive, Ready: conds.ready}
	var entry gateway.FileEntry
	file := gateway.File{Op: action.Action, Path: path, To: to, Writes: true, Slow: true}
	err = c.file(file, func(ctx context.Context, tree *gateway.FileTree, _ *gateway.FileOutcome) (err error) {
		if conds.any() {
			defer tree.Alone(path)()
		}
		if to == path {
			return onItself(ctx, tree, path, action.Overwrite)
		}
		if action.Action == sallyport.FileActionMove {
			entry, err = tree.Move(ctx, path, to, placing)
			return err
		}
		entry, err = tree.Copy(ctx, path, to, placing)
		return err
	})
	if err != nil {
		return err
	}
	c.answerEntry(http.StatusOK, entry)
	return nil
}

// onItself is why nothing is moved or copied to where it is.
func onItself(ctx context.Context, tree *gateway.FileTree, path string, overwrite bool) error {
	entry, err := tree.Stat(ctx, path)
	switch {
	case err != nil:
		return err
	case overwrite || entry.Type == sallyport.FileTypeDir:
		return sallyport.Errorf(sallyport.CodeInvalidTo, "to must be another path, and not within what it is of")
	}
	return sallyport.Errorf(sallyport.CodeExists, "something is there already")
}
