package bus_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/bus"
	"sallyport/internal/id"
	"sallyport/test/natsd"
)

// join opens a replica's bus on a cluster.
func join(t *testing.T, url string) *bus.Bus {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Options{URL: url, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// await waits for a condition.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// soon is a context that ends when somebody has waited in vain.
func soon(t *testing.T, life time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), life)
	t.Cleanup(cancel)
	return ctx
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// What one replica tells has been acted on by all who are there when TellAll returns, and
// it says of whom that isn't known.
func TestTellAll(t *testing.T) {
	cluster := natsd.Start(t, 3)
	names := []string{"a", "b", "c"}
	told := map[string]chan string{}
	buses := map[string]*bus.Bus{}
	for _, name := range names {
		b := join(t, cluster.URL())
		heard := make(chan string, 10)
		must[func()](t)(b.OnTold("topic", name, func(text []byte) { heard <- string(text) }))
		must[func()](t)(b.OnTold("another", name, func([]byte) { t.Error("heard of another topic") }))
		told[name], buses[name] = heard, b
	}
	// Interest travels between nodes: the first time it may be on its way.
	await(t, "answer of all", func() bool {
		return buses["a"].TellAll(soon(t, time.Second), "topic", []byte("hello"), names) == nil
	})
	for _, name := range names {
		for len(told[name]) > 0 {
			<-told[name]
		}
	}
	if missing := buses["b"].TellAll(soon(t, 10*time.Second), "topic", []byte("again"), names); missing != nil {
		t.Errorf("nothing is known of %q", missing)
	}
	for _, name := range names { // acted, not only on its way
		if got := <-told[name]; got != "again" {
			t.Errorf("%s heard %q", name, got)
		}
	}
	missing := buses["c"].TellAll(soon(t, 200*time.Millisecond), "topic", nil, append(slices.Clone(names), "dead"))
	if !slices.Equal(missing, []string{"dead"}) {
		t.Errorf("nothing is known of %q, want dead", missing)
	}
	if err := buses["a"].Close(); err != nil {
		t.Fatal(err)
	}
	if missing := buses["a"].TellAll(soon(t, time.Second), "topic", nil, names); !slices.Equal(missing, names) {
		t.Errorf("over a closed bus nothing is known of %q", missing)
	}
}

// A question reaches one replica; without an answer there is an error that says so.
func TestAsk(t *testing.T) {
	cluster := natsd.Start(t, 2)
	a, b := join(t, cluster.URL()), join(t, cluster.URL())
	answer := func(_ context.Context, question []byte) []byte { return bytes.ToUpper(question) }
	must[func()](t)(a.OnAsked("a", "case", time.Minute, answer))
	hold := func(ctx context.Context, _ []byte) []byte {
		<-ctx.Done()
		return []byte("gave up")
	}
	must[func()](t)(b.OnAsked("b", "case", time.Minute, hold))
	must[func()](t)(b.OnAsked("b", "short", 10*time.Millisecond, hold))
	await(t, "answer", func() bool {
		got, err := b.Ask(soon(t, time.Second), "a", "case", []byte("who"))
		return err == nil && string(got) == "WHO"
	})
	if got, err := b.Ask(soon(t, 10*time.Second), "b", "short", nil); err != nil || string(got) != "gave up" {
		t.Errorf("a short life: %q, %v", got, err)
	}
	for _, replica := range []string{"nobody", "b"} { // b doesn't answer
		if got, err := a.Ask(soon(t, 200*time.Millisecond), replica, "case", []byte("who")); !errors.Is(err, bus.ErrNoAnswer) {
			t.Errorf("%s: %q, %v", replica, got, err)
		}
	}
}

// Notices go on when a node is lost, and while there is none nothing waits.
func TestNodesAreLost(t *testing.T) {
	cluster := natsd.Start(t, 3)
	a, b := join(t, cluster.URL()), join(t, cluster.URL())
	org := id.New()
	notices, _ := listen(t, b, org)
	heard := func() bool {
		a.ActivityChanged(org)
		select {
		case <-notices:
			return true
		case <-time.After(50 * time.Millisecond):
			return false
		}
	}
	await(t, "notice", heard)
	for i := range 3 {
		cluster.Stop(i)
		if i < 2 {
			await(t, "notice without a node", heard)
		}
	}
	await(t, "loss of the bus", func() bool { return !a.Connected() && !b.Connected() })
	began := time.Now()
	a.ActivityChanged(org)
	if missing := a.TellAll(soon(t, 10*time.Second), "topic", nil, []string{"b"}); !slices.Equal(missing, []string{"b"}) || time.Since(began) > 5*time.Second {
		t.Errorf("without a bus nothing is known of %q, after %v", missing, time.Since(began))
	}
	cluster.Start(t, 1)
	await(t, "notice over a node that is back", heard)
}

// A server that starts before its bus finds it later.
func TestBusComesLater(t *testing.T) {
	cluster := natsd.Start(t, 1)
	cluster.Stop(0)
	b := join(t, cluster.URL())
	if b.Connected() {
		t.Error("connected to nothing")
	}
	org := id.New()
	notices, _ := listen(t, b, org)
	cluster.Start(t, 0)
	await(t, "connection", b.Connected)
	await(t, "notice", func() bool { b.ActivityChanged(org); return len(notices) > 0 })
}

// An error about a URL doesn't show what may be a secret in it.
func TestURLIsSecret(t *testing.T) {
	for _, url := range []string{"nats://user:canary-1234@[::1", "nats://canary-1234@:x", "nats://canary-1234:canary-1234@127.0.0.1:99999", "%zz://canary-1234"} {
		b, err := bus.Open(t.Context(), bus.Options{URL: url, Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			b.Close()
			continue
		}
		if strings.Contains(err.Error(), "canary") {
			t.Errorf("%s", err)
		}
	}
}
