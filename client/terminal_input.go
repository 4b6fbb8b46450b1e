package client

import (
	"bytes"
	"errors"
	"slices"
	"sync"

	"sallyport/client/sallyport"
)

// terminalInputMax is how much input is kept that may have to be sent again: more than lies
// between the two ends.
const terminalInputMax = 4 << 20

// terminalInput is what was typed: it is kept after it was sent, since only a resume tells what
// has arrived.
type terminalInput struct {
	// more says that there is something to send, room that there is room again; each holds one
	// word.
	more, room chan struct{}

	mu    sync.Mutex // guards the fields below
	kept  []byte
	first int64 // the place of the first byte that is kept, in all that was typed
	sent  int   // how much of kept was sent
	// controls have not been sent, in their order.
	controls []placedControl
}

// placedControl is a control frame, and the place in what was typed before which it is sent.
type placedControl struct {
	place int64
	frame any
}

// terminalControlsMax bounds the control frames that wait behind input.
const terminalControlsMax = 64

var errControlsFull = errors.New("too many sizes and signals wait to be sent")

func newTerminalInput() *terminalInput {
	return &terminalInput{more: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// hasRoom tells whether more may be added. Where it may not, room says when to ask again.
func (i *terminalInput) hasRoom() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.kept)-i.sent < messageBytesMax
}

func (i *terminalInput) add(p []byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.kept = append(i.kept, p...)
	say(i.more)
}

// addControl has a frame sent behind what was typed so far. Where as many wait as may, it drops
// the oldest size, which a later one replaces, and returns false if there is none.
func (i *terminalInput) addControl(frame any) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.controls) >= terminalControlsMax {
		oldest := slices.IndexFunc(i.controls, func(c placedControl) bool {
			_, isSize := c.frame.(sallyport.TerminalResize)
			return isSize
		})
		if oldest < 0 {
			return false
		}
		i.controls = slices.Delete(i.controls, oldest, oldest+1)
	}
	i.controls = append(i.controls, placedControl{i.first + int64(len(i.kept)), frame})
	say(i.more)
	return true
}

// next returns what is to be sent next, as if it were sent: bytes or a control frame, or neither
// where there is nothing.
func (i *terminalInput) next() (piece []byte, frame any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if over := i.sent - terminalInputMax; over > terminalInputMax/4 { // seldom, since it moves what is kept
		i.drop(over)
	}
	end := len(i.kept)
	if len(i.controls) > 0 {
		first := i.controls[0]
		if end = int(first.place - i.first); end == i.sent {
			i.controls = slices.Delete(i.controls, 0, 1)
			return nil, first.frame
		}
	}
	piece = i.kept[i.sent:min(end, i.sent+messageBytesMax)]
	i.sent += len(piece)
	say(i.room)
	return bytes.Clone(piece), nil
}

// rewind has what comes behind a place be sent again. It tells whether that is kept.
func (i *terminalInput) rewind(received int64) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if received < i.first || received > i.first+int64(i.sent) {
		return false
	}
	i.drop(int(received - i.first))
	i.sent = 0
	say(i.more)
	return true
}

func (i *terminalInput) drop(n int) {
	i.kept = i.kept[:copy(i.kept, i.kept[n:])]
	i.first += int64(n)
	i.sent -= n
}
