// Package replica keeps the lease of this server on a shared store, and completes the
// execs of replicas whose lease has expired: a replica without a lease runs nothing.
package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/limits"
	"sallyport/internal/store"
)

// Store keeps the leases.
type Store interface {
	TakeLease(ctx context.Context, replica, url string, life time.Duration) error
	// RenewLease returns store.ErrLeaseLost when somebody has ended the lease.
	RenewLease(ctx context.Context, replica string, life time.Duration) error
	EndLease(ctx context.Context, replica string) error
	Replicas(ctx context.Context) ([]string, error)
}

// Replica is this server among the others. Its fields are set before Join, which comes
// before the rest.
type Replica struct {
	// ID is this run's own: no other server has it, nor had this one before.
	ID string
	// URL is where others reach this server; empty is nowhere.
	URL   string
	Store Store
	Log   *slog.Logger
	// Lost ends what this server runs: its lease has expired, or is about to, and another
	// replica may adopt the rows. It is called repeatedly until the lease is renewed, and
	// must not block.
	Lost func()
	// Adopt completes the acts of replicas that are dead. Its error is logged.
	Adopt func(ctx context.Context) error
	// Recheck ends acts whose token or workspace is gone, in case the bus lost the notice.
	Recheck func(ctx context.Context)

	// until is when this server must have stopped what it runs, unless it has renewed. A
	// time is replaced whole, and its monotonic part counts.
	until atomic.Pointer[time.Time]
}

// Holds tells whether the lease is in force, so that this server alone may complete its
// rows. Without it no act may begin.
func (r *Replica) Holds() bool {
	until := r.until.Load()
	return until != nil && time.Now().Before(*until)
}

// renewed takes note of a lease that was had at a time.
func (r *Replica) renewed(at time.Time) {
	until := at.Add(limits.LeaseTime - limits.LeaseMargin)
	r.until.Store(&until)
}

// Join takes the lease.
func (r *Replica) Join(ctx context.Context) error {
	began := time.Now()
	if err := r.Store.TakeLease(ctx, r.ID, r.URL, limits.LeaseTime); err != nil {
		return fmt.Errorf("join the other servers: %w", err)
	}
	r.renewed(began)
	return nil
}

// Run renews the lease, adopts and rechecks until ctx ends.
func (r *Replica) Run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { r.keep(ctx) })
	all.Go(func() { every(ctx, limits.AdoptEvery, r.adopt()) })
	all.Go(func() {
		every(ctx, limits.RecheckEvery, func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, limits.LeaseCallTime)
			defer cancel()
			r.Recheck(ctx)
		})
	})
}

// Leave ends the lease, when nothing runs any more, so that the other replicas needn't
// wait until it expires.
func (r *Replica) Leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, limits.LeaseCallTime)
	defer cancel()
	if err := r.Store.EndLease(ctx, r.ID); err != nil {
		r.Log.Warn("the lease is left to end by itself", "replica", r.ID, "error", err)
	}
	return nil
}

// Others are the other replicas that are alive, as far as the store knows.
func (r *Replica) Others(ctx context.Context) ([]string, error) {
	all, err := r.Store.Replicas(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the other servers: %w", err)
	}
	var others []string
	for _, id := range all {
		if id != r.ID {
			others = append(others, id)
		}
	}
	return others, nil
}

// keep renews the lease, and says when it is lost.
func (r *Replica) keep(ctx context.Context) {
	renew := time.NewTicker(limits.LeaseRenewEvery)
	defer renew.Stop()
	over := time.NewTimer(time.Until(*r.until.Load()))
	defer over.Stop()
	lost := false
	lose := func(why string, cause error) {
		if !lost {
			lost = true
			r.Log.Error("the lease is lost: what runs here is ended", "replica", r.ID, "why", why, "error", cause)
		}
		r.Lost() // each time: something may have begun since
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-over.C:
		case <-renew.C:
		}
		// A process that was halted finds both due, and must stop before it renews.
		if !r.Holds() {
			lose("it could not be renewed in time", nil)
		}
		began := time.Now()
		err := r.renew(ctx)
		if errors.Is(err, store.ErrLeaseLost) {
			lose("another server has ended it", err)
			err = r.take(ctx)
		}
		switch {
		case err == nil && lost:
			r.Log.Info("the lease is had again", "replica", r.ID)
			fallthrough
		case err == nil:
			lost = false
			r.renewed(began)
			over.Reset(time.Until(*r.until.Load()))
		case ctx.Err() == nil:
			r.Log.Warn("the lease can't be renewed", "replica", r.ID, "error", err)
		}
	}
}

func (r *Replica) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, limits.LeaseCallTime)
	defer cancel()
	return r.Store.RenewLease(ctx, r.ID, limits.LeaseTime)
}

func (r *Replica) take(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, limits.LeaseCallTime)
	defer cancel()
	return r.Store.TakeLease(ctx, r.ID, r.URL, limits.LeaseTime)
}

// adopt says of a row of failures only the first.
func (r *Replica) adopt() func(context.Context) {
	failing := false
	return func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, limits.AdoptTime)
		defer cancel()
		err := r.Adopt(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			r.Log.Warn("what other servers have left can't be completed", "error", err)
		}
		failing = err != nil
	}
}

// every calls f at once and then every so often, until ctx ends.
func every(ctx context.Context, interval time.Duration, f func(context.Context)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		f(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
