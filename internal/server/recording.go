package server

import (
	"context"
	"path/filepath"
	"time"

	"sallyport/internal/limits"
	"sallyport/internal/recording"
)

// recordings is the archive that the configuration names.
func (s *server) recordings() *recording.Archive {
	c := s.cfg.Recordings
	if c.Dir == "" {
		c.Dir = filepath.Join(s.cfg.DataDir, "recordings")
	}
	return &recording.Archive{Dir: c.Dir, Seal: s.ca.Seal, BytesMax: c.BytesMax, Retention: c.Retention}
}

// expire has what is kept for a time taken away when that is over, until ctx ends.
func (s *server) expire(ctx context.Context) {
	s.beside(ctx, s.expireAttachments)
	s.beside(ctx, s.expireRecordings)
}

// expireRecordings deletes recordings whose time is over, at the start and now and then, until
// ctx ends.
func (s *server) expireRecordings(ctx context.Context) {
	look := time.NewTicker(limits.RecordingSweepEvery)
	defer look.Stop()
	for ctx.Err() == nil {
		if err := s.gateway.Recordings.Sweep(ctx, now()); err != nil {
			s.log.Warn("expired recordings can't be deleted now", "error", err)
		}
		select {
		case <-look.C:
		case <-ctx.Done():
		}
	}
}
