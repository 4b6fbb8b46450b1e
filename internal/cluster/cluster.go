// Package cluster is this server among those that share its store: what they tell each other
// over the bus, and what they ask each other.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"sallyport/internal/bus"
	"sallyport/internal/gateway"
	"sallyport/internal/limits"
	"sallyport/internal/live"
	"sallyport/internal/peer"
	"sallyport/internal/replica"
)

// What servers tell and ask each other.
const (
	topicEnded    = "ended"
	topicSignal   = "signal"
	topicTerminal = "terminal"
)

// Cluster is this server among the others: it implements gateway.Peers. Its fields are set
// before the first use. It is safe for concurrent use.
type Cluster struct {
	Bus     *bus.Bus
	Replica *replica.Replica
	// Peer asks the others, and is asked what Handlers answers.
	Peer    *peer.Peer
	Gateway *gateway.Gateway
	Log     *slog.Logger
	// Now is the clock of notices.
	Now func() time.Time
}

// Ended implements gateway.Peers. Whoever doesn't answer has nothing left of what was
// ended once limits.PeersTime is over: it keeps no look-up for longer than that,
// and rechecks what runs.
func (c *Cluster) Ended(ctx context.Context, e live.Ending) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.PeersTime)
	defer cancel()
	text, err := json.Marshal(e)
	if err != nil {
		c.Log.Error("an ending can't be told", "error", err)
	}
	others, storeErr := c.Replica.Others(ctx)
	if storeErr == nil && len(others) == 0 {
		return
	}
	missing := c.Bus.TellAll(ctx, topicEnded, text, others)
	if storeErr == nil && len(missing) == 0 {
		return
	}
	c.Log.Warn("not every server has said that it knows of an ending", "of", e.Of, "id", e.ID, "missing", missing, "error", storeErr)
	<-ctx.Done()
}

// signalAnswer says whether there was something to signal, and what went wrong.
type signalAnswer struct {
	Sent  bool   `json:"sent"`
	Error string `json:"error,omitempty"`
}

// Signal implements gateway.Peers. A replica that others can't reach, as none of the version
// before can be, is asked over the bus.
func (c *Cluster) Signal(ctx context.Context, replica string, signal gateway.Signal) (sent bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, limits.SignalTime)
	defer cancel()
	var answer signalAnswer
	err = c.Peer.Call(ctx, replica, topicSignal, signal, &answer)
	if errors.Is(err, peer.ErrNowhere) {
		answer, err = c.signalOverBus(ctx, replica, signal)
	}
	if err == nil && answer.Error != "" {
		err = errors.New(answer.Error)
	}
	return answer.Sent, err
}

func (c *Cluster) signalOverBus(ctx context.Context, replica string, signal gateway.Signal) (answer signalAnswer, err error) {
	question, err := json.Marshal(signal)
	if err != nil {
		return answer, err
	}
	text, err := c.Bus.Ask(ctx, replica, topicSignal, question)
	if err != nil {
		return answer, err
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return answer, fmt.Errorf("answer of replica %s: %w", replica, err)
	}
	return answer, nil
}

// Handlers answer what the others ask this server.
func (c *Cluster) Handlers() map[string]peer.Handler {
	return map[string]peer.Handler{topicSignal: peer.Answer(c.signal), topicTerminal: c.terminal}
}

// OpenTerminal implements gateway.Peers.
func (c *Cluster) OpenTerminal(ctx context.Context, replica string, p gateway.PassedTerminal) (gateway.PeerStream, error) {
	s, err := c.Peer.Open(ctx, replica, topicTerminal, p)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// terminal serves a client at another server.
func (c *Cluster) terminal(ctx context.Context, _ string, question []byte, s *peer.Stream) error {
	var p gateway.PassedTerminal
	if err := json.Unmarshal(question, &p); err != nil {
		return err
	}
	return c.Gateway.ServePassedTerminal(ctx, p, s)
}

// Listen takes what the others tell and ask over the bus, until stop is called.
func (c *Cluster) Listen() (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, stop := range stops {
			stop()
		}
	}
	for _, listen := range []func() (func(), error){c.hearEndings, c.answerSignals, c.hearUsage} {
		one, err := listen()
		if err != nil {
			stop()
			return nil, err
		}
		stops = append(stops, one)
	}
	return stop, nil
}

// Run keeps the lease, completes the acts of servers whose lease has expired, and tells the
// others what was granted here, until ctx ends.
func (c *Cluster) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { c.Replica.Run(ctx) })
	running.Go(func() { c.tellUsage(ctx) })
}

func (c *Cluster) hearEndings() (stop func(), err error) {
	return c.Bus.OnTold(topicEnded, c.Replica.ID, func(text []byte) {
		var e live.Ending
		if err := json.Unmarshal(text, &e); err != nil {
			c.Log.Warn("a notice on the bus is none of ours", "error", err)
			return
		}
		c.Gateway.End(e)
	})
}

// answerSignals answers over the bus: the version before knows no other way.
func (c *Cluster) answerSignals() (stop func(), err error) {
	return c.Bus.OnAsked(c.Replica.ID, topicSignal, limits.SignalTime, func(ctx context.Context, text []byte) []byte {
		var signal gateway.Signal
		var answer signalAnswer
		err := json.Unmarshal(text, &signal)
		if err == nil {
			answer, err = c.signal(ctx, "", signal)
		}
		if err != nil {
			answer.Error = err.Error()
		}
		text, _ = json.Marshal(answer) // a bool and a string
		return text
	})
}

// signal signals what runs here, for a caller of another server.
func (c *Cluster) signal(ctx context.Context, from string, signal gateway.Signal) (answer signalAnswer, err error) {
	began := time.Now()
	answer.Sent, err = c.Gateway.SignalPassedOn(ctx, signal)
	if err != nil {
		c.Log.Warn("a signal for another server", "replica", from, "exec_id", signal.ExecID, "took", time.Since(began), "error", err)
	}
	return answer, err
}
