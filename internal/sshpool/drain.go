package sshpool

import (
	"reflect"
	"sync"
	"unsafe"

	"golang.org/x/crypto/ssh"
)

// The SSH library leaves goroutines behind when a connection ends in the wrong
// moment, and a machine can choose the moment: as often as it likes, with some
// megabytes each time. It has no way to prevent that, so what hangs is freed here,
// in fields that are found by name. TestLibraryIsAsExpected fails when they are
// called otherwise.

// end closes a connection and frees the library's reader. It queues 16 packets for
// the multiplexer, and waits when there are more. Where the multiplexer has given
// up, over one packet that made no sense, nobody takes them: the reader hangs for
// good, and with it the multiplexer, which waits for it, and every Wait. So what is
// queued is taken here until the reader has ended.
func end(client ssh.Conn) {
	_ = client.Close() // its end is what was wanted
	incoming := hidden(reflect.ValueOf(client), "transport", "incoming")
	if queue, ok := valueOf[chan []byte](incoming); ok {
		for range queue { // the reader closes it
			continue
		}
	}
}

// freeOpens frees who opens a channel on a connection that has ended: one that was
// entered after the multiplexer had told all channels of the end, and before
// sending failed, is told by nobody. The connection's Wait has returned.
func freeOpens(client ssh.Conn) {
	list := hidden(reflect.ValueOf(client), "mux", "chanList")
	if !list.IsValid() || list.Kind() != reflect.Struct {
		return
	}
	mu := hidden(list, "Mutex")
	chans := hidden(list, "chans")
	if !mu.IsValid() || mu.Type() != reflect.TypeFor[sync.Mutex]() || !chans.IsValid() || chans.Kind() != reflect.Slice {
		return
	}
	lock := (*sync.Mutex)(mu.Addr().UnsafePointer())
	lock.Lock()
	defer lock.Unlock()
	for i := range chans.Len() {
		if msg, ok := valueOf[chan any](hidden(chans.Index(i), "msg")); ok {
			close(msg)
		}
	}
	chans.SetZero()
}

// hidden returns a field of a field of v, through pointers and interfaces, to read
// and to write; the zero Value where there is none.
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
	if !v.IsValid() || v.Type() != reflect.TypeFor[T]() {
		return value, false
	}
	return *(*T)(v.Addr().UnsafePointer()), true
}
