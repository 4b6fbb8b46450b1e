package server

import (
	"context"
	"time"

	"sallyport/internal/limits"
)

// expireAttachments takes away what has expired, now and then, until ctx ends.
func (s *server) expireAttachments(ctx context.Context) {
	look := time.NewTicker(limits.AttachmentSweepEvery)
	defer look.Stop()
	for {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
		if err := s.gateway.ExpireAttachments(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("expired attachments can't be taken away now", "error", err)
		}
	}
}
