// The client, with the wire types and the framing beside it, needs nothing but the
// standard library and a library of WebSockets, which needs nothing else.
module sallyport/client

go 1.26.0

require github.com/coder/websocket v1.8.15
