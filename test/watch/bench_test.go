package watch

import (
	"net/http"
	"testing"

	"sallyport/test/stack"
)

// BenchmarkWarmExec is a command that does nothing, through HTTP, with its durable
// row: what metrics and traces cost shows against it. internal/meter measures the
// metrics alone.
func BenchmarkWarmExec(b *testing.B) {
	b.Run("metrics", func(b *testing.B) { benchmarkExec(b, nil) })
	b.Run("metrics and traces", func(b *testing.B) {
		benchmarkExec(b, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": newReceiver(b).URL})
	})
}

func benchmarkExec(b *testing.B, env map[string]string) {
	s := stack.Start(b, stack.Options{DataDir: b.TempDir(), Env: env})
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for b.Loop() {
		resp, err := client.Do(s.Request(b, http.MethodPost, "/workspaces/local/exec", s.Token, `{"cmd":["true"]}`))
		if err != nil {
			b.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
			b.Fatal(resp.Status, err)
		}
	}
}
