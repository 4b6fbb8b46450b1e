package limits

import "time"

// Requests.
const (
	// BodyBytesMax bounds a request's JSON body: an exec with its full argv,
	// stdin and environment in base64 fits.
	BodyBytesMax = 2 << 20
	// SmallBytesMax is how large a body or an answer may be that isn't counted in the
	// server's memory: it takes no more than its connection does, and an exec without data
	// goes on where large ones have taken their organisation's share.
	SmallBytesMax = 8 << 10
	// HeaderBytesMax bounds a request's header: no token of ours is longer than
	// 100 bytes, so a larger one is an attack (431).
	HeaderBytesMax = 32 << 10
	// HeaderReadTime ends connections that trickle their header.
	HeaderReadTime = 10 * time.Second
	// BodyReadTime ends requests that trickle their body.
	BodyReadTime = 30 * time.Second
	// BodyUnreadTime is how long an answer waits for a body that nobody wants.
	BodyUnreadTime = time.Second
	// IdleTime ends connections that ask for nothing more.
	IdleTime = 2 * time.Minute
	// ConnectionsShare is the part of the process's descriptors that connections of
	// callers may take, 1 of so many: the rest are for the store, for machines, and for
	// commands of the embedded host.
	ConnectionsShare = 2
	// ConnectionsMax bounds them where descriptors don't: each costs some 20 KiB.
	ConnectionsMax = 64 << 10
	// OpenRequestsShare is the part of the connections on which one organisation may
	// have requests at once, 1 of so many: others always find some.
	OpenRequestsShare = 2
	// StrangersShare is the same for requests without a token that read what is large.
	StrangersShare = 4
	// ConnectionsTellEvery is how often the log says that there is no room for more.
	ConnectionsTellEvery = 10 * time.Second
	// ScrapeConnectionsMax bounds the connections to the metrics' own listener.
	ScrapeConnectionsMax = 64
	// ProbeAfter, ProbeEvery and ProbesMax find a connection whose caller is gone
	// without a word, within half a minute: by TCP's keep-alive, and over HTTP/2 by a ping.
	ProbeAfter = 15 * time.Second
	ProbeEvery = 5 * time.Second
	ProbesMax  = 3
	// StreamsPerConnection bounds the requests of one HTTP/2 connection at once, and
	// StreamBufferBytes the part of their bodies that waits unread.
	StreamsPerConnection = 128
	StreamBufferBytes    = 256 << 10
	// AnswerWriteTime is how long a reader may stop reading an answer that is
	// complete on our side before the connection is dropped.
	AnswerWriteTime = 30 * time.Second
)
