package quota

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
	"sallyport/internal/store"
)

// shelf is a store of one organisation, which counts who asks.
type shelf struct {
	org   store.Org
	err   error
	asked int
	hold  chan struct{} // closed to let an answer out; nil is at once
}

func (s *shelf) Org(context.Context, string) (store.Org, error) {
	s.asked++
	org, err := s.org, s.err
	if s.hold != nil {
		<-s.hold
	}
	return org, err
}

var own = sallyport.OrgLimits{RunningExecs: 9, RunningExecsPerWorkspace: 8, RequestsPerS: 7, RequestBurst: 6}

func wantLimits(t *testing.T, o *Orgs, want sallyport.OrgLimits) {
	t.Helper()
	if got, err := o.Of(t.Context(), "a"); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

// What the store says is believed for a while, and a limit that an organisation doesn't
// have is the server's.
func TestOrgs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{org: store.Org{Limits: sallyport.OrgLimits{RunningExecs: 1, RequestBurst: 2}}}
		o := &Orgs{Store: s, Own: own}
		first := sallyport.OrgLimits{RunningExecs: 1, RunningExecsPerWorkspace: 8, RequestsPerS: 7, RequestBurst: 2}
		wantLimits(t, o, first)
		s.org.Limits = sallyport.OrgLimits{RequestsPerS: 3}
		wantLimits(t, o, first)
		<-time.After(limits.OrgLimitsMemoryTime)
		second := sallyport.OrgLimits{RunningExecs: 9, RunningExecsPerWorkspace: 8, RequestsPerS: 3, RequestBurst: 6}
		wantLimits(t, o, second)
		if s.asked != 2 {
			t.Errorf("the store was asked %d times", s.asked)
		}
		s.org.Limits = sallyport.OrgLimits{}
		o.Forget("a")
		wantLimits(t, o, own)
		if got, err := o.Of(t.Context(), ""); err != nil || got != own || s.asked != 3 {
			t.Errorf("of no organisation: %+v, %v, asked %d times", got, err, s.asked)
		}
		s.err = store.ErrNotFound
		o.Forget("a")
		wantLimits(t, o, own)
	})
}

// While one asks anew the others go by what was known; a store that can't answer is an
// error, and asked again.
func TestOrgsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		o := &Orgs{Store: s, Own: own}
		wantLimits(t, o, own)
		<-time.After(limits.OrgLimitsMemoryTime)
		s.hold, s.org.Limits.RunningExecs = make(chan struct{}), 1
		done := make(chan sallyport.OrgLimits)
		go func() {
			got, _ := o.Of(t.Context(), "a")
			done <- got
		}()
		synctest.Wait()
		wantLimits(t, o, own)
		close(s.hold)
		if got := <-done; got.RunningExecs != 1 {
			t.Errorf("got %+v", got)
		}
		if s.asked != 2 {
			t.Errorf("asked %d times", s.asked)
		}
		<-time.After(limits.OrgLimitsMemoryTime)
		s.err = errors.New("away")
		for range 2 {
			if _, err := o.Of(t.Context(), "a"); !errors.Is(err, s.err) {
				t.Errorf("got %v", err)
			}
		}
		s.err = nil
		wantLimits(t, o, sallyport.OrgLimits{RunningExecs: 1, RunningExecsPerWorkspace: 8, RequestsPerS: 7, RequestBurst: 6})
	})
}
