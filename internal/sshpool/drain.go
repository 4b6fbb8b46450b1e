package sshpool

import (
	"reflect"
	"sync"
	"unsafe"

	"golang.org/x/crypto/ssh"
)

// The SSH library (x/crypto 0.59) leaves two things to be wished for that its API gives no
// hold on. When its multiplexer gives up over a packet that made no sense while more than
// 16 packets are queued for it, nobody takes them: the reader of the connection, the
// multiplexer and Close wait for each other for good, with some megabytes, as often as a
// machine likes. And it ends the streams of every session of a connection that broke, for
// whatever reason, as the machine's own end of file does. Its issue go.dev/issue/79564
// mended the first for answers to global requests alone. So two private fields are found
// by name here; TestLibraryIsAsExpected fails when they are called otherwise.

// internals are the library's own fields of a connection. One that wasn't found is nil.
type internals struct {
	incoming   packets     // for the multiplexer
	channelsMu *sync.Mutex // guards channelsClosed
	// channelsClosed is set when the multiplexer has ended, before it ends the streams of
	// the sessions.
	channelsClosed *bool
}

func internalsOf(client ssh.Conn) internals {
	var in internals
	in.incoming = packetsOf(client)
	list := hidden(reflect.ValueOf(client), "mux", "chanList")
	in.channelsMu = pointerTo[sync.Mutex](hidden(list, "Mutex"))
	in.channelsClosed = pointerTo[bool](hidden(list, "closed"))
	return in
}

// hasEnded tells whether the connection carries nothing any more. It is true before the
// streams of its sessions end for that.
func (in internals) hasEnded() bool {
	if in.channelsMu == nil || in.channelsClosed == nil {
		return false
	}
	in.channelsMu.Lock()
	defer in.channelsMu.Unlock()
	return *in.channelsClosed
}

// end closes a connection, and takes the queued packets until the reader has ended, so
// that nothing waits for it.
func (in internals) end(client ssh.Conn) {
	_ = client.Close() // its end is what was wanted
	in.incoming.drain()
}

// packets are those that a connection's reader has queued. nil is an unknown queue.
type packets chan []byte

// packetsOf returns the queue of a connection, also of one whose login is under way.
func packetsOf(client ssh.ConnMetadata) packets {
	queue, _ := valueOf[chan []byte](hidden(reflect.ValueOf(client), "transport", "incoming"))
	return queue
}

// drain takes the packets of a connection that was closed until its reader has ended.
func (p packets) drain() {
	if p == nil {
		return
	}
	for range p { // the reader closes it
		continue
	}
}

// hidden returns a field of a field of v, through pointers and interfaces, to read; the
// zero Value where there is none.
func hidden(v reflect.Value, path ...string) reflect.Value {
	for _, name := range path {
		for v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			return reflect.Value{}
		}
		if v = v.FieldByName(name); !v.IsValid() || !v.CanAddr() {
			return reflect.Value{}
		}
		v = reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem()
	}
	return v
}

// valueOf returns v where it is a T.
func valueOf[T any](v reflect.Value) (value T, ok bool) {
	if p := pointerTo[T](v); p != nil {
		return *p, true
	}
	return value, false
}

// pointerTo points to v where it is a T.
func pointerTo[T any](v reflect.Value) *T {
	if !v.IsValid() || v.Type() != reflect.TypeFor[T]() {
		return nil
	}
	return (*T)(v.Addr().UnsafePointer())
}
