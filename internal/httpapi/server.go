package httpapi

import (
	"cmp"
	"log/slog"
	"net/http"
	"time"

	"sallyport/internal/limits"
)

// Times bounds how long callers may take. A field that is 0 has its value in package limits.
type Times struct {
	// HeaderRead ends a connection whose request's header doesn't arrive.
	HeaderRead time.Duration
	// BodyRead ends a request whose body doesn't.
	BodyRead time.Duration
	// Keepalive is how long a stream is quiet before something is written all the same.
	Keepalive time.Duration
	// TerminalStart ends a terminal's connection whose client doesn't say what it wants.
	TerminalStart time.Duration
	// EventWrite cuts an event stream whose reader takes nothing.
	EventWrite time.Duration
}

// orLimits fills in what is 0.
func (t Times) orLimits() Times {
	return Times{
		HeaderRead:    cmp.Or(t.HeaderRead, limits.HeaderReadTime),
		BodyRead:      cmp.Or(t.BodyRead, limits.BodyReadTime),
		Keepalive:     cmp.Or(t.Keepalive, limits.KeepaliveFrameEvery),
		TerminalStart: cmp.Or(t.TerminalStart, limits.TerminalStartTime),
		EventWrite:    cmp.Or(t.EventWrite, limits.EventWriteTime),
	}
}

// Server returns the HTTP server for h, with the time and size limits that keep one
// connection from holding others up. The caller serves and closes it.
func Server(h http.Handler, log *slog.Logger, times Times) *http.Server {
	return &http.Server{
		Handler: h,
		// OPTIONS * is a request like any other.
		DisableGeneralOptionsHandler: true,

		ReadHeaderTimeout: times.orLimits().HeaderRead,
		IdleTimeout:       limits.IdleTime,
		MaxHeaderBytes:    limits.HeaderBytesMax,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          limits.StreamsPerConnection,
			MaxReceiveBufferPerConnection: limits.StreamBufferBytes,
			MaxReceiveBufferPerStream:     limits.StreamBufferBytes,
			SendPingTimeout:               limits.ProbeAfter,
			PingTimeout:                   limits.ProbeAfter,
			WriteByteTimeout:              limits.AnswerWriteTime,
		},
	}
}
