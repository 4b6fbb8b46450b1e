package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"time"

	"sallyport/internal/bus"
	"sallyport/internal/gateway"
	"sallyport/internal/httpapi"
	"sallyport/internal/limits"
	"sallyport/internal/live"
	"sallyport/internal/peer"
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
	peer    *peer.Peer
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

// signalAnswer says whether there was something to signal, and what went wrong.
type signalAnswer struct {
	Sent  bool   `json:"sent"`
	Error string `json:"error,omitempty"`
}

// Signal implements gateway.Peers. A replica that others can't reach, as none of the version
// before can be, is asked over the bus.
func (p *peers) Signal(ctx context.Context, replica string, signal gateway.Signal) (sent bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, limits.SignalTime)
	defer cancel()
	var answer signalAnswer
	err = p.peer.Call(ctx, replica, topicSignal, signal, &answer)
	if errors.Is(err, peer.ErrNowhere) {
		answer, err = p.signalOverBus(ctx, replica, signal)
	}
	if err == nil && answer.Error != "" {
		err = errors.New(answer.Error)
	}
	return answer.Sent, err
}

func (p *peers) signalOverBus(ctx context.Context, replica string, signal gateway.Signal) (answer signalAnswer, err error) {
	question, err := json.Marshal(signal)
	if err != nil {
		return answer, err
	}
	text, err := p.bus.Ask(ctx, replica, topicSignal, question)
	if err != nil {
		return answer, err
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return answer, fmt.Errorf("answer of replica %s: %w", replica, err)
	}
	return answer, nil
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
	direct, err := s.openPeer(ctx)
	if err != nil {
		return err
	}
	s.gateway.Peers = &peers{bus: s.bus, peer: direct, replica: s.replica, log: s.log}
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

// answerSignals answers over the bus: the version before knows no other way.
func (s *server) answerSignals() (stop func(), err error) {
	return s.bus.OnAsked(s.replica.ID, topicSignal, limits.SignalTime, func(ctx context.Context, text []byte) []byte {
		var signal gateway.Signal
		var answer signalAnswer
		err := json.Unmarshal(text, &signal)
		if err == nil {
			answer, err = s.signal(ctx, "", signal)
		}
		if err != nil {
			answer.Error = err.Error()
		}
		text, _ = json.Marshal(answer) // a bool and a string
		return text
	})
}

// signal signals what runs here, for a caller of another server.
func (s *server) signal(ctx context.Context, from string, signal gateway.Signal) (answer signalAnswer, err error) {
	began := time.Now()
	answer.Sent, err = s.gateway.SignalPassedOn(ctx, signal)
	if err != nil {
		s.log.Warn("a signal for another server", "replica", from, "exec_id", signal.ExecID, "took", time.Since(began), "error", err)
	}
	return answer, err
}

// openPeer lets this server ask others, and be asked where it has an address for that, until
// it is closed.
func (s *server) openPeer(ctx context.Context) (*peer.Peer, error) {
	seeds, err := s.ca.Seal.Derive(peer.SeedPurpose)
	if err != nil {
		return nil, fmt.Errorf("derive the replicas' certificates from the seal: %w", err)
	}
	authority, err := peer.NewAuthority(seeds)
	if err != nil {
		return nil, err
	}
	connections := &httpapi.Connections{Most: limits.PeerConnectionsMax, Log: s.log}
	direct := peer.New(context.WithoutCancel(ctx), peer.Options{
		Replica: s.replica.ID, Authority: authority, Leases: s.store, Log: s.log, ConnState: connections.State,
		Handlers: map[string]peer.Handler{topicSignal: peer.Answer(s.signal)},
	})
	ended := make(chan error, 1)
	if s.peerListener == nil {
		ended <- nil
	} else {
		go func() {
			err := direct.Serve(connections.Listen(s.peerListener))
			if err != nil {
				s.log.Error("other servers can't ask this one any more", "error", err)
			}
			ended <- err
		}()
	}
	s.onClose(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), limits.ShutdownTime)
		defer cancel()
		_ = direct.Close(ctx) // what was not done in time is given up
		return <-ended
	})
	return direct, nil
}

// listenForPeers takes the address for the other servers, if there can be any and the
// configuration has one.
func (s *server) listenForPeers() error {
	if s.cfg.Store.URL == "" || s.cfg.Replica.Listen == "" {
		return nil
	}
	listener, err := s.take(s.cfg.Replica.Listen, "choose another address for "+"replica.listen")
	if err != nil {
		return err
	}
	at, err := url.Parse(s.cfg.Replica.URL)
	if err != nil {
		return fmt.Errorf("replica.url: %w", err) // it was checked
	}
	if at.Port() == "0" {
		_, port, err := net.SplitHostPort(listener.Addr().String())
		if err != nil {
			return err
		}
		at.Host = net.JoinHostPort(at.Hostname(), port)
	}
	s.peerListener, s.peerURL = listener, at.String()
	return nil
}
