package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"sallyport/internal/bus"
	"sallyport/internal/limits"
	"sallyport/internal/live"
	"sallyport/internal/replica"
)

// What replicas tell and ask one another over the bus.
const (
	topicEnded  = "ended"
	topicSignal = "signal"
)

// peers are the other servers, by way of the bus.
type peers struct {
	bus     *bus.Bus
	replica *replica.Replica
	log     *slog.Logger
}

// Ended implements gateway.Peers. Whoever doesn't answer has nothing left of what was
// ended once limits.PeersTime is over: it keeps no proof for longer than that, and
// rechecks what runs.
func (p *peers) Ended(ctx context.Context, e live.Ending) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.PeersTime)
	defer cancel()
	text, err := json.Marshal(e)
	if err != nil {
		p.log.Error("an ending can't be told", "error", err)
	}
	others, storeErr := p.replica.Others(ctx)
	if storeErr == nil && len(others) == 0 {
		return
	}
	missing := p.bus.TellAll(ctx, topicEnded, text, others)
	if storeErr == nil && len(missing) == 0 {
		return
	}
	p.log.Warn("not every server has said that it knows of an ending", "of", e.Of, "id", e.ID, "missing", missing, "error", storeErr)
	<-ctx.Done()
}

// signalQuestion asks a replica to signal what it runs.
type signalQuestion struct {
	ExecID string `json:"exec_id"`
	Signal string `json:"signal"`
}

// signalAnswer says whether there was something to signal, and what went wrong.
type signalAnswer struct {
	Sent  bool   `json:"sent"`
	Error string `json:"error,omitempty"`
}

// Signal implements gateway.Peers.
func (p *peers) Signal(ctx context.Context, replica, execID, signal string) (sent bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, limits.SignalTime)
	defer cancel()
	question, err := json.Marshal(signalQuestion{ExecID: execID, Signal: signal})
	if err != nil {
		return false, err
	}
	text, err := p.bus.Ask(ctx, replica, topicSignal, question)
	if err != nil {
		return false, err
	}
	var answer signalAnswer
	if err := json.Unmarshal(text, &answer); err != nil {
		return false, fmt.Errorf("answer of replica %s: %w", replica, err)
	}
	if answer.Error != "" {
		return false, errors.New(answer.Error)
	}
	return answer.Sent, nil
}

// watchExpiry ends what runs under tokens that expire, until the server is closed.
func (s *server) watchExpiry(ctx context.Context) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() {
		look := time.NewTicker(limits.RecheckEvery)
		defer look.Stop()
		for {
			select {
			case <-look.C:
				s.gateway.EndExpired()
			case <-ctx.Done():
				return
			}
		}
	})
	s.onClose(func() error {
		stop()
		running.Wait()
		return nil
	})
}

// joinPeers makes this server one of several: it takes their notices, and completes
// the execs of replicas whose lease has expired, until it is closed.
func (s *server) joinPeers(ctx context.Context) error {
	if s.replica == nil {
		return nil
	}
	s.replica.Lost, s.replica.Adopt, s.replica.Recheck = s.gateway.LoseExecs, s.gateway.Recover, s.gateway.Recheck
	s.gateway.Holds = s.replica.Holds
	s.gateway.Peers = &peers{bus: s.bus, replica: s.replica, log: s.log}
	for _, listen := range []func() (func(), error){s.hearEndings, s.answerSignals, s.hearUsage} {
		stop, err := listen()
		if err != nil {
			return err
		}
		s.onClose(func() error { stop(); return nil })
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { s.replica.Run(ctx) })
	running.Go(func() { s.tellUsage(ctx) })
	s.onClose(func() error {
		stop()
		running.Wait()
		return nil
	})
	return nil
}

func (s *server) hearEndings() (stop func(), err error) {
	return s.bus.OnTold(topicEnded, s.replica.ID, func(text []byte) {
		var e live.Ending
		if err := json.Unmarshal(text, &e); err != nil {
			s.log.Warn("a notice on the bus is none of ours", "error", err)
			return
		}
		s.gateway.End(e)
	})
}

func (s *server) answerSignals() (stop func(), err error) {
	return s.bus.OnAsked(s.replica.ID, topicSignal, limits.SignalTime, func(ctx context.Context, text []byte) []byte {
		var q signalQuestion
		var answer signalAnswer
		began := time.Now()
		err := json.Unmarshal(text, &q)
		if err == nil {
			answer.Sent, err = s.gateway.SignalHere(ctx, q.ExecID, q.Signal)
		}
		if err != nil {
			answer.Error = err.Error()
			s.log.Warn("a signal for another server", "exec_id", q.ExecID, "took", time.Since(began), "error", err)
		}
		text, _ = json.Marshal(answer) // a bool and a string
		return text
	})
}
