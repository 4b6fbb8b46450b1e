package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"sallyport/internal/keys"
	"sallyport/internal/limits"
	"sallyport/internal/store"
)

// openCA opens the SSH CA with the seal that opens the database's private keys.
// The very first start makes both.
func (s *server) openCA(ctx context.Context, dir *dataDir) (*keys.CA, error) {
	stored, err := s.store.CAKeys(ctx)
	if err != nil {
		return nil, err
	}
	path := s.cfg.Keys.SealFile
	if path == "" {
		path = sealFile(dir.path)
		// The CA's newest key is never deleted: where there is none, nothing was
		// ever sealed.
		if err := makeSeal(path, len(stored) > 0); err != nil {
			return nil, fmt.Errorf("seal %s: %w", path, err)
		}
	}
	seal, err := readSeal(path)
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", path, err)
	}
	ca := &keys.CA{Store: s.store, Seal: seal, Now: now}
	switch err := ca.Open(ctx); {
	case errors.Is(err, keys.ErrSealKey):
		return nil, fmt.Errorf("seal %s is not the one that has sealed the private keys in the database: restore that one, or add its key below the first (%w)", path, err)
	case err != nil:
		return nil, fmt.Errorf("open the SSH CA with the seal %s: %w", path, err)
	}
	return ca, nil
}

// resealKeys seals those private keys of workspaces anew that an older key of the seal
// file has sealed, so that it can be given up. One that can't be opened is its own
// workspace's trouble, not the server's.
func (s *server) resealKeys(ctx context.Context) error {
	page := store.Page{Limit: limits.PageMax}
	for {
		found, err := s.store.SealedKeys(ctx, page)
		if err != nil {
			return err
		}
		for _, key := range found {
			if err := s.resealKey(ctx, key.Record); err != nil {
				return err
			}
			page.After = key.Position
		}
		if len(found) < page.Limit {
			return nil
		}
	}
}

func (s *server) resealKey(ctx context.Context, key store.SealedKey) error {
	if s.ca.Seal.IsCurrent(key.Sealed) {
		return nil
	}
	private, err := s.ca.Seal.Open(keyPurpose(key.WorkspaceID), key.Sealed)
	if err != nil {
		s.log.Warn("a workspace's private key can't be opened with the seal file: nobody can log in to its machine",
			"workspace_id", key.WorkspaceID, "cause", err)
		return nil
	}
	defer clear(private)
	return s.store.ResealWorkspaceKey(ctx, key.WorkspaceID, key.Sealed, s.ca.Seal.Seal(keyPurpose(key.WorkspaceID), private))
}

// readSeal reads a seal file.
func readSeal(path string) (*keys.Sealer, error) {
	text, err := readSecret(path, limits.SealFileBytesMax, notReadable)
	defer clear(text)
	if err != nil {
		return nil, err
	}
	return keys.ReadSeal(text)
}

// makeSeal makes the file of the seal where there is none, unless something is
// sealed already: what was sealed with a lost key is lost, and a new one would hide
// that.
func makeSeal(path string, isNeeded bool) error {
	_, err := os.Lstat(path)
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		return cause(err) // nil where there is one
	case isNeeded:
		return errors.New("the file is missing, and the database holds private keys that only it opens: " +
			"restore it from a copy, or name it with " + keySealFile)
	}
	text := keys.NewSeal()
	defer clear(text)
	if err := writeSeal(path, text); err != nil {
		return fmt.Errorf("the file can't be made: %w", err)
	}
	return nil
}

// writeSeal writes a new file for its owner alone, whole and on disk before it has
// its name: what it seals is kept by a database that is.
func writeSeal(path string, text []byte) error {
	tmp, err := newScratch(filepath.Dir(path), ".seal-*")
	if err != nil {
		return cause(err)
	}
	defer func() { _ = os.Remove(tmp) }() // it is gone when it was renamed
	if err := os.WriteFile(tmp, text, 0o600); err != nil {
		return cause(err)
	}
	return place(tmp, path, false)
}
