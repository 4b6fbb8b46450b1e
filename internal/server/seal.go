package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"sallyport/internal/config"
	"sallyport/internal/datadir"
	"sallyport/internal/disk"
	"sallyport/internal/keys"
	"sallyport/internal/limits"
	"sallyport/internal/store"
)

// openCA opens the organisations' SSH CAs with the seal that opens the database's private
// keys. The very first start makes the seal, and each start makes a CA for the
// organisations that have none.
func (s *server) openCA(ctx context.Context, dir *datadir.Dir) (*keys.CA, error) {
	path := s.cfg.Keys.SealFile
	if path == "" {
		path = datadir.SealFile(dir.Path)
		isNeeded, err := s.store.HasSealed(ctx)
		if err != nil {
			return nil, err
		}
		if err := makeSeal(path, isNeeded); err != nil {
			return nil, fmt.Errorf("seal %s: %w", path, err)
		}
	}
	seal, err := config.ReadSeal(path)
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", path, err)
	}
	ca := &keys.CA{Store: s.store, Seal: seal, Now: now}
	switch err := s.resealCAs(ctx, ca); {
	case errors.Is(err, keys.ErrSealKey):
		return nil, fmt.Errorf("seal %s is not the one that has sealed the private keys in the database: restore that one, or add its key below the first (%w)", path, err)
	case err != nil:
		return nil, fmt.Errorf("open the SSH CAs with the seal %s: %w", path, err)
	}
	if err := s.makeCAs(ctx, ca); err != nil {
		return nil, fmt.Errorf("make the SSH CA of each organisation: %w", err)
	}
	return ca, s.retireSharedCA(ctx)
}

// resealCAs checks that the seal opens every key of the CAs, and seals those anew that an
// older key of the seal file sealed, so that the operator can give that up.
func (s *server) resealCAs(ctx context.Context, ca *keys.CA) error {
	page := store.Page{Limit: limits.PageMax}
	for {
		found, err := s.store.AllCAKeys(ctx, page)
		if err != nil {
			return err
		}
		for _, key := range found {
			if err := ca.Reseal(ctx, key.Record); err != nil {
				return err
			}
			page.After = key.Position
		}
		if len(found) < page.Limit {
			return nil
		}
	}
}

// makeCAs makes the CA of each organisation that has none.
func (s *server) makeCAs(ctx context.Context, ca *keys.CA) error {
	for {
		orgs, err := s.store.OrgsWithoutCA(ctx, limits.PageMax)
		if err != nil || len(orgs) == 0 {
			return err
		}
		for _, org := range orgs {
			if _, err := ca.Keys(ctx, org); err != nil && !errors.Is(err, store.ErrNotFound) { // deleted meanwhile
				return err
			}
		}
	}
}

// retireSharedCA warns of the machines that trust the SSH CA that all organisations
// shared, and may not know the CA of their own. Once each of them has let a server in,
// the server forgets the shared one.
func (s *server) retireSharedCA(ctx context.Context) error {
	stale, err := s.store.StaleMachines(ctx, limits.StaleMachinesTold+1)
	switch {
	case err != nil:
		return err
	case len(stale) == 0:
		return s.store.ForgetSharedCA(ctx)
	}
	count, names := store.NameMachines(stale)
	s.log.Warn("each organisation has an SSH CA of its own now, and the one before, which all shared, signs no more: "+
		"these machines refuse the server until they trust the CA of their organisation (sallyport ca show --org ORG; docs/keys.md)",
		"machines", count, "workspaces", names)
	return nil
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

// makeSeal makes the file of the seal where there is none, unless something is
// sealed already: what was sealed with a lost key is lost, and a new one would hide
// that.
func makeSeal(path string, isNeeded bool) error {
	_, err := os.Lstat(path)
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		return disk.Cause(err) // nil where there is one
	case isNeeded:
		return errors.New("the file is missing, and the database holds private keys that only it opens: " +
			"restore it from a copy, or name it with " + "keys.seal_file")
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
	tmp, err := disk.NewScratch(filepath.Dir(path), ".seal-*")
	if err != nil {
		return disk.Cause(err)
	}
	defer func() { _ = os.Remove(tmp) }() // it is gone when it was renamed
	if err := os.WriteFile(tmp, text, 0o600); err != nil {
		return disk.Cause(err)
	}
	return disk.Place(tmp, path, false)
}
