// The client, with the wire types and the framing beside it, needs nothing but the
// standard library.
module sallyport/client

go 1.26.0
