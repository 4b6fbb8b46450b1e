package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
)

// Subjects by which replicas speak: to all of them, and, followed by a replica's id and
// by what is asked, to one.
const (
	subjectAll = "sallyport.all."
	subjectOne = "sallyport.one."
)

// answeringMax is how many questions a replica answers at a time; one more waits.
const answeringMax = 64

// ErrNoAnswer is of a question that nobody has answered: the replica is gone, or the bus.
var ErrNoAnswer = errors.New("no answer over the bus")

// TellAll tells every replica something, and waits until each of those named has said
// that it has heard and acted, or until ctx ends. It returns those of whom it doesn't
// know.
func (b *Bus) TellAll(ctx context.Context, topic string, text []byte, replicas []string) (missing []string) {
	missing = slices.Clone(replicas)
	inbox := b.conn.NewInbox()
	answers := make(chan *nats.Msg, len(replicas)+pendingMax)
	sub, err := b.conn.ChanSubscribe(inbox, answers)
	if err != nil {
		return missing
	}
	defer func() { _ = sub.Unsubscribe() }() // a connection that has gone has none
	if b.conn.PublishRequest(subjectAll+topic, inbox, text) != nil {
		return missing
	}
	for len(missing) > 0 {
		select {
		case m := <-answers:
			missing = slices.DeleteFunc(missing, func(replica string) bool { return replica == string(m.Data) })
		case <-ctx.Done():
			return missing
		}
	}
	return nil
}

// Tell tells every replica something, and doesn't wait.
func (b *Bus) Tell(topic string, text []byte) {
	_ = b.conn.Publish(subjectAll+topic, text) // its readers also poll
}

// OnTold calls f with what replicas tell about a topic, in order, until stop is called.
// When f returns, this replica has acted.
func (b *Bus) OnTold(topic, replica string, f func(text []byte)) (stop func(), err error) {
	return b.listen(subjectAll+topic, func(m *nats.Msg) {
		f(m.Data)
		if m.Reply != "" {
			_ = m.Respond([]byte(replica)) // the asker times out then
		}
	})
}

// Ask asks one replica, and returns its answer. It returns an error that wraps
// ErrNoAnswer when there is none before ctx ends.
func (b *Bus) Ask(ctx context.Context, replica, topic string, question []byte) ([]byte, error) {
	answer, err := b.conn.RequestWithContext(ctx, subjectOne+replica+"."+topic, question)
	if err != nil {
		return nil, fmt.Errorf("ask replica %s: %w: %w", replica, ErrNoAnswer, err)
	}
	return answer.Data, nil
}

// OnAsked answers what this replica is asked about a topic with f, several at a time,
// until stop is called. f's ctx ends when the bus is closed, and after life.
func (b *Bus) OnAsked(replica, topic string, life time.Duration, f func(ctx context.Context, question []byte) []byte) (stop func(), err error) {
	places := make(chan struct{}, answeringMax)
	return b.listen(subjectOne+replica+"."+topic, func(m *nats.Msg) {
		select {
		case places <- struct{}{}:
		case <-b.ctx.Done():
			return
		}
		b.answer(func() {
			defer func() { <-places }()
			ctx, cancel := context.WithTimeout(b.ctx, life)
			defer cancel()
			_ = m.Respond(f(ctx, m.Data)) // the asker times out then
		})
	})
}

// answer runs f beside what else is answered, unless the bus is being closed.
func (b *Bus) answer(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.answering.Go(f)
	}
}
