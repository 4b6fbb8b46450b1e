package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"sallyport/internal/disk"
)

// Ready is what a server tells when it can serve. `server` tells its URL alone.
type Ready struct {
	URL string `json:"url"`
	// MetricsURL is empty where the metrics share the server's address.
	MetricsURL  string `json:"metrics_url,omitempty"`
	AdminToken  string `json:"admin_token,omitempty"`
	OrgID       string `json:"org_id,omitempty"`
	WorkspaceID string `json:"workspace_id,omitempty"`
	Token       string `json:"token,omitempty"`
}

// announce tells whoever waits that the server can serve.
func (s *server) announce(r Ready) error {
	if s.options.ReadyFile != "" {
		if err := writeReadyFile(s.options.ReadyFile, r); err != nil {
			return err
		}
		s.onClose(func() error { return removeReadyFile(s.options.ReadyFile) })
	}
	if s.options.Ready != nil {
		s.options.Ready(r)
	}
	return nil
}

// writeReadyFile writes the file whole, or not at all, for its owner alone: it
// holds tokens.
func writeReadyFile(name string, r Ready) error {
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("ready file: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), ".ready-*") // 0600
	if err != nil {
		return fmt.Errorf("ready file %s can't be written: %w", name, disk.Cause(err))
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // it is gone when it was renamed
	_, err = tmp.Write(append(body, '\n'))
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("ready file %s can't be written: %w", name, disk.Cause(err))
	}
	return nil
}

// removeReadyFile takes the file away again: its tokens are dead and its server
// gone.
func removeReadyFile(name string) error {
	if name == "" {
		return nil
	}
	err := os.Remove(name)
	switch dir := filepath.Dir(name); {
	case err == nil, os.IsNotExist(err):
		return nil
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("ready file %s can't be written: %s is no directory", name, dir)
	}
	return fmt.Errorf("ready file %s can't be removed: %w", name, disk.Cause(err))
}
