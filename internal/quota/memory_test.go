package quota

import (
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// What is reserved is there, a half each at most; what only grows is never refused for what
// another organisation holds.
func TestMemory(t *testing.T) {
	m := NewMemory(100)
	reserve := func(org string, bytes int64, want bool) *Held {
		t.Helper()
		h := m.Hold()
		if got := h.Reserve(org, bytes); got != want {
			t.Errorf("%s reserves %d: %t, with %d used", org, bytes, got, m.Used())
		}
		return h
	}
	a := reserve("a", 30, true)
	reserve("a", 21, false).Close()
	reserve("a", 20, true)
	reserve("a", 0, true) // a small one is not refused for what large ones reserve
	b := reserve("b", 0, true)
	b.Grow(70) // over its half, of which it can't be kept
	if m.Used() != 120 {
		t.Errorf("%d used", m.Used())
	}
	reserve("b", 0, false)
	reserve("c", 1, false) // the two hold all that there is
	c := reserve("c", 0, true)
	c.Close()
	a.Grow(30)
	if m.Used() != 120 {
		t.Errorf("%d used: what was reserved is counted once", m.Used())
	}
	a.Grow(5)
	if m.Used() != 125 {
		t.Errorf("%d used", m.Used())
	}
	a.Close()
	a.Close()
	a.Grow(10)
	if m.Used() != 90 {
		t.Errorf("%d used", m.Used())
	}
	reserve("c", 30, true)
	none := (*Memory)(nil).Hold()
	if !none.Reserve("a", 1<<60) {
		t.Error("no budget refuses")
	}
	none.Grow(1)
	none.Close()
}

// Whatever happens, what is used is what is reserved or held; reservations alone never come
// to more than there is, nor an organisation's to more than half; and at the end nothing is used.
func TestMemoryIsGivenBack(t *testing.T) {
	type account struct {
		*Held
		org             string
		reserved, grown int64
	}
	rapid.Check(t, func(t *rapid.T) {
		m := NewMemory(rapid.Int64Range(2, 200).Draw(t, "budget"))
		var open []*account
		check := func() {
			var used, reserved int64
			byOrg := map[string]int64{}
			for _, a := range open {
				used += max(a.reserved, a.grown)
				reserved += a.reserved
				byOrg[a.org] += a.reserved
			}
			if m.Used() != used || reserved > m.bytes {
				t.Fatalf("%d used, want %d; %d reserved of %d", m.Used(), used, reserved, m.bytes)
			}
			for org, n := range byOrg {
				if n > m.bytes/2 {
					t.Fatalf("%s has reserved %d of %d", org, n, m.bytes)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"reserve": func(t *rapid.T) {
				a := &account{Held: m.Hold(), org: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "org")}
				bytes := rapid.Int64Range(0, 60).Draw(t, "bytes")
				if !a.Reserve(a.org, bytes) {
					a.Close()
					return
				}
				a.reserved = bytes
				open = append(open, a)
			},
			"grow": func(t *rapid.T) {
				if len(open) == 0 {
					t.Skip()
				}
				a := rapid.SampledFrom(open).Draw(t, "account")
				n := rapid.Int64Range(0, 40).Draw(t, "bytes")
				a.Grow(n)
				a.grown += n
			},
			"close": func(t *rapid.T) {
				if len(open) == 0 {
					t.Skip()
				}
				open[0].Close()
				open = open[1:]
			},
			"": func(*rapid.T) { check() },
		})
		for _, a := range open {
			a.Close()
		}
		if m.Used() != 0 || m.together != 0 || len(m.byOrg) != 0 {
			t.Fatalf("%d used, %d together, %v", m.Used(), m.together, m.byOrg)
		}
	})
}

// The same of many at once.
func TestMemoryAtOnce(t *testing.T) {
	m := NewMemory(1000)
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			h := m.Hold()
			defer h.Close()
			if !h.Reserve([]string{"a", "b", "c"}[i%3], int64(i)) {
				return
			}
			var both sync.WaitGroup
			for range 2 {
				both.Go(func() { h.Grow(40) })
			}
			both.Wait()
		})
	}
	all.Wait()
	if m.Used() != 0 || m.together != 0 {
		t.Errorf("%d used, %d together", m.Used(), m.together)
	}
}
