package quota

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/limits"
)

// grant takes n requests and tells how many were granted.
func grant(r *Rates, token string, by Rate, n int) (granted int) {
	for range n {
		if _, ok := r.Take(token, by); ok {
			granted++
		}
	}
	return granted
}

// A burst is granted at once, then as much as time refills; tokens don't touch each other.
func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Rates
		by := Rate{PerS: 10, Burst: 20}
		if n := grant(&r, "a", by, 50); n != 20 {
			t.Errorf("%d at once", n)
		}
		s, ok := r.Take("a", by)
		if want := (Standing{Rate: by, Full: 2 * time.Second, Next: 100 * time.Millisecond}); ok || s != want {
			t.Errorf("got %+v, want %+v", s, want)
		}
		if s, ok := r.Take("b", by); !ok || s.Remaining != 19 || s.Next != 0 || s.Full != 100*time.Millisecond {
			t.Errorf("another token: %+v, %t", s, ok)
		}
		<-time.After(500 * time.Millisecond)
		if n := grant(&r, "a", by, 50); n != 5 {
			t.Errorf("%d after half a second", n)
		}
		<-time.After(time.Hour)
		if n := grant(&r, "a", by, 50); n != 20 {
			t.Errorf("%d after an hour", n)
		}
		if n := grant(&r, "a", Rate{Burst: 1}, 50); n != 50 {
			t.Errorf("%d without a limit", n)
		}
	})
}

// Another rate takes force at once, and what was used stays used.
func TestRatesTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Rates
		grant(&r, "a", Rate{PerS: 10, Burst: 100}, 30)
		if n := grant(&r, "a", Rate{PerS: 10, Burst: 50}, 90); n != 20 {
			t.Errorf("%d of a smaller burst", n)
		}
		if n := grant(&r, "a", Rate{PerS: 10, Burst: 60}, 90); n != 10 {
			t.Errorf("%d of a larger one", n)
		}
		<-time.After(time.Second)
		if n := grant(&r, "a", Rate{PerS: 1, Burst: 60}, 90); n != 10 {
			t.Errorf("%d a second later", n)
		}
	})
}

// What others grant is taken off, down to a debt of a burst; what is told is told once.
func TestRatesShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var here, there Rates
		by := Rate{PerS: 10, Burst: 20}
		grant(&here, "a", by, 15)
		grant(&there, "a", by, 15)
		tell := func(from, to *Rates) {
			for _, u := range from.Taken() {
				to.Charge(u)
			}
		}
		tell(&here, &there)
		tell(&there, &here)
		if again := here.Taken(); len(again) != 0 {
			t.Errorf("told again: %+v", again)
		}
		for _, r := range []*Rates{&here, &there} { // each was granted 5, and the other 15, too much together
			if s, ok := r.Take("a", by); ok || s.Next != 1100*time.Millisecond {
				t.Errorf("got %+v, %t", s, ok)
			}
		}
		here.Charge(Usage{Token: "new", Rate: by, Requests: 12})
		if n := grant(&here, "new", by, 50); n != 8 {
			t.Errorf("%d of a token that was granted 12 elsewhere", n)
		}
		here.Charge(Usage{Token: "b", Rate: by, Requests: 1 << 30})
		here.Charge(Usage{Token: "b", Rate: by, Requests: 1 << 30})
		if s, _ := here.Take("b", by); s.Full != 4*time.Second {
			t.Errorf("the debt is %+v", s)
		}
		here.Charge(Usage{Token: "c"}) // nonsense
	})
}

// Full buckets are forgotten, and there are never too many of the others.
func TestRatesBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Rates
		by := Rate{PerS: 1, Burst: 2}
		for i := range 3 * sweepMin {
			grant(&r, strconv.Itoa(i), by, 1)
		}
		<-time.After(time.Minute)
		for i := range sweepMin + 1 {
			grant(&r, "later-"+strconv.Itoa(i), by, 1)
		}
		if n := len(r.buckets); n > 2*sweepMin {
			t.Errorf("%d buckets", n)
		}
		for i := range 2 * limits.RateBucketsMax {
			grant(&r, "many-"+strconv.Itoa(i), by, 1)
			if len(r.buckets) > limits.RateBucketsMax || len(r.taken) > len(r.buckets) {
				t.Fatalf("%d buckets, %d taken", len(r.buckets), len(r.taken))
			}
		}
	})
}

// However requests come, no token is granted more in any time than a burst and what was
// refilled, and one that waits as long as it is told is granted its next.
func TestRatesNeverExceeded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		r := Rates{Now: func() time.Time { return now }}
		by := Rate{PerS: rapid.IntRange(1, 1000).Draw(t, "per second"), Burst: rapid.IntRange(1, 50).Draw(t, "burst")}
		began, granted := now, 0
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "ms")) * time.Millisecond)
			granted += grant(&r, "a", by, rapid.IntRange(0, 30).Draw(t, "requests"))
			if most := float64(by.Burst) + float64(by.PerS)*now.Sub(began).Seconds() + 1e-6; float64(granted) > most {
				t.Fatalf("%d granted, at most %f", granted, most)
			}
			s, ok := r.Take("a", by)
			if ok {
				granted++
				continue
			}
			now = now.Add(s.Next)
			if _, ok := r.Take("a", by); !ok {
				t.Fatalf("not granted after %s", s.Next)
			}
			granted++
		}
	})
}

func BenchmarkRatesTake(b *testing.B) {
	var r Rates
	by := Rate{PerS: 200, Burst: 1000}
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			r.Take(strconv.Itoa(i%512), by)
		}
	})
}
