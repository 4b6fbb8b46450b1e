package gateway

import "sallyport/client/sallyport"

// keptOutput is the latest output of a terminal, sallyport.TerminalWindowBytes at most. Places
// in it are counted from the first byte that the terminal printed.
type keptOutput struct {
	// ring has a byte at its place modulo the ring's length, a power of two that grows.
	ring []byte
	// end is the place behind the last byte.
	end int64
}

// keptOutputMin is the first length of a ring: a prompt.
const keptOutputMin = 1 << 10

// start is the place of the oldest byte.
func (k *keptOutput) start() int64 { return max(0, k.end-int64(len(k.ring))) }

// append keeps p, and drops the oldest bytes where it must. p is no longer than what is kept.
func (k *keptOutput) append(p []byte) {
	k.grow(int(min(k.end+int64(len(p)), sallyport.TerminalWindowBytes)))
	for len(p) > 0 {
		n := copy(k.ring[k.end%int64(len(k.ring)):], p)
		k.end += int64(n)
		p = p[n:]
	}
}

// grow makes room for so many bytes. A ring that has grown has dropped nothing yet.
func (k *keptOutput) grow(want int) {
	if want <= len(k.ring) {
		return
	}
	size := max(keptOutputMin, len(k.ring))
	for size < want {
		size *= 2
	}
	ring := make([]byte, size)
	copy(ring, k.ring[:min(k.end, int64(len(k.ring)))])
	k.ring = ring
}

// copyFrom copies what is kept from a place on into p.
func (k *keptOutput) copyFrom(place int64, p []byte) int {
	total := 0
	for len(p) > 0 && place < k.end {
		at := place % int64(len(k.ring))
		n := copy(p, k.ring[at:min(int64(len(k.ring)), at+k.end-place)])
		p, place, total = p[n:], place+int64(n), total+n
	}
	return total
}
