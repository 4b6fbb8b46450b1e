package quota

import "sync"

// Memory is a budget for what waits in the server's memory for its caller: bodies while they
// are read, stdin of running commands, output until its command has ended and its reader has
// taken it, and other answers. Each organisation has half of it at most, and so is in nobody's way.
// What is reserved beforehand is there, or refused. What isn't is counted as it grows, which
// leaves less to reserve; an organisation that holds its half of such is let begin no more.
// Nobody ever waits. A nil Memory has no bound. It is safe for concurrent use.
type Memory struct {
	bytes int64

	mu       sync.Mutex // guards the fields below
	byOrg    map[string]taken
	together int64 // of each organisation what it has taken, up to its half
}

// taken is an organisation's share of a Memory: reserved, and grown beyond that.
type taken struct{ reserved, loose int64 }

func (t taken) all() int64 { return t.reserved + t.loose }

// NewMemory returns a budget of so many bytes.
func NewMemory(bytes int64) *Memory { return &Memory{bytes: bytes, byOrg: map[string]taken{}} }

// Used is how much is held and reserved.
func (m *Memory) Used() (bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.byOrg {
		bytes += n.all()
	}
	return bytes
}

// Hold returns an account that holds nothing yet. The caller closes it.
func (m *Memory) Hold() *Held { return &Held{memory: m} }

// Held is the account of one request, or one exec, in a Memory. It is safe for concurrent use.
type Held struct {
	memory *Memory

	// Guarded by memory.mu.
	orgID           string
	reserved, grown int64
	closed          bool
}

// Reserve sets bytes more aside for an organisation, the same at each call, if they are
// there; with 0, whether it may let grow what it hasn't reserved.
func (h *Held) Reserve(orgID string, bytes int64) bool {
	m := h.memory
	if m == nil {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	half, has := m.bytes/2, m.byOrg[orgID]
	switch {
	case bytes == 0 && has.loose >= half:
		return false
	case bytes > 0 && (has.all()+bytes > half || m.together+bytes > m.bytes):
		return false
	}
	if h.closed {
		return false
	}
	before := h.loose()
	h.orgID, h.reserved = orgID, h.reserved+bytes
	m.add(orgID, taken{reserved: bytes, loose: h.loose() - before})
	return true
}

// Grow counts bytes more that are held, of what was reserved first.
func (h *Held) Grow(bytes int64) {
	m := h.memory
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if h.closed {
		return
	}
	before := h.loose()
	h.grown += bytes
	m.add(h.orgID, taken{loose: h.loose() - before})
}

// Shrink releases all but so many bytes.
func (h *Held) Shrink(bytes int64) {
	m := h.memory
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if h.closed {
		return
	}
	was := taken{h.reserved, h.loose()}
	h.reserved, h.grown = min(h.reserved, bytes), min(h.grown, bytes)
	m.add(h.orgID, taken{h.reserved - was.reserved, h.loose() - was.loose})
}

// Bytes returns how much is held, with the reserved part.
func (h *Held) Bytes() int64 {
	if h.memory == nil {
		return 0
	}
	h.memory.mu.Lock()
	defer h.memory.mu.Unlock()
	return max(h.reserved, h.grown)
}

// Close releases everything. It may be called twice.
func (h *Held) Close() {
	m := h.memory
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !h.closed {
		h.closed = true
		m.add(h.orgID, taken{reserved: -h.reserved, loose: -h.loose()})
	}
}

// loose is the part beyond the reserved one.
func (h *Held) loose() int64 { return max(0, h.grown-h.reserved) }

// add changes an organisation's share. m.mu is held.
func (m *Memory) add(orgID string, more taken) {
	half, was := m.bytes/2, m.byOrg[orgID]
	now := taken{was.reserved + more.reserved, was.loose + more.loose}
	m.together += min(now.all(), half) - min(was.all(), half)
	m.byOrg[orgID] = now
	if now == (taken{}) {
		delete(m.byOrg, orgID)
	}
}
