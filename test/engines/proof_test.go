package engines

import (
	"context"
	"fmt"
	"testing"
	"time"

	"sallyport/internal/identity"
	"sallyport/internal/limits"
	"sallyport/internal/policy"
)

// proofGoal is what proving a caller and deciding may take together at p50, warm.
const proofGoal = 50 * time.Microsecond

// TestProof times, in turns, what is done before an exec's row is begun: proving the holder
// of a token that was seen a moment ago, or was not, and deciding whether it may run
// commands on a workspace that is at hand, or is looked up.
func TestProof(t *testing.T) {
	ways := []string{"known token and policy", "the same, workspace looked up", "unknown token and policy"}
	took := map[*world]map[string][]time.Duration{}
	var deciders []*decider
	for _, w := range newWorlds(t) {
		took[w] = map[string][]time.Duration{}
		deciders = append(deciders, newDecider(w))
	}
	for i := range *benchRuns + 2 {
		for _, d := range deciders {
			for _, way := range ways {
				if way == ways[2] {
					d.auth.ClearCache()
				}
				began := time.Now()
				if err := d.decide(t.Context(), way == ways[1]); err != nil {
					t.Fatalf("%s, %s: %v", d.world.name, way, err)
				}
				if i >= 2 { // the first warm it
					took[d.world][way] = append(took[d.world][way], time.Since(began))
				}
			}
		}
	}
	fmt.Printf("authentication and policy of an exec, %d turns\n", *benchRuns)
	for _, way := range ways {
		for _, d := range deciders {
			all := took[d.world][way]
			fmt.Printf("  %-30s %-10s  p50 %7.1f µs  p99 %7.1f µs\n", way, d.world.name, micros(quantile(all, 0.5)), micros(quantile(all, 0.99)))
		}
	}
	fmt.Printf("  goal: a known token and policy at most %.0f µs at p50\n\n", micros(proofGoal))
}

// BenchmarkProof is what a caller that was seen a moment ago waits for.
func BenchmarkProof(b *testing.B) {
	for _, w := range newWorlds(b) {
		d := newDecider(w)
		b.Run(w.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := d.decide(b.Context(), false); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// decider does what stands before an exec's row, in its order.
type decider struct {
	world *world
	auth  *identity.Authenticator
	rules policy.RuleSet
}

func newDecider(w *world) *decider {
	return &decider{world: w, auth: &identity.Authenticator{Store: w, AuthCacheTime: limits.AuthCacheTime}, rules: policy.Rules()}
}

func (d *decider) decide(ctx context.Context, look bool) error {
	who, err := d.auth.Authenticate(ctx, d.world.header)
	if err != nil {
		return err
	}
	ws := d.world.ws
	if look {
		if ws, err = d.world.Workspace(ctx, who.OrgID, ws.ID); err != nil {
			return err
		}
	}
	if err := d.rules.Exec.Check(who); err != nil {
		return err
	}
	return policy.HostExec(ws)
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
