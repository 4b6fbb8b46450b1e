package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"sallyport/client"
	"sallyport/client/sallyport"
	"sallyport/internal/id"
)

// foreign times what a caller is told of another organisation's workspace against
// what it is told of one that there isn't, in turns: the two should take the same.
func foreign(ctx context.Context, o options, s *side) error {
	admin := client.New(s.ready.URL, s.ready.AdminToken)
	defer admin.Close()
	org, err := admin.CreateOrg(ctx, sallyport.OrgCreate{Name: "foreign"})
	if err != nil {
		return err
	}
	theirs, err := admin.CreateWorkspace(ctx, sallyport.WorkspaceCreate{OrgID: org.ID, Name: "theirs", Tier: sallyport.TierFullHost})
	if err != nil {
		return err
	}
	web := newClient(1)
	defer web.CloseIdleConnections()
	var there, absent []time.Duration
	const turnsOfOne = 4 // each is quick
	for i := range turnsOfOne * o.latencyRuns {
		a, err := timed(func() error { return s.refused(ctx, web, theirs.ID) })
		if err != nil {
			return err
		}
		b, err := timed(func() error { return s.refused(ctx, web, id.New()) })
		if err != nil {
			return err
		}
		if i >= 20 { // warm by now
			there, absent = append(there, a), append(absent, b)
		}
	}
	fmt.Printf("404 of another's workspace, and of one that there isn't, %d each\n", len(there))
	for name, times := range map[string][]time.Duration{"another's": there, "nobody's ": absent} {
		fmt.Printf("  %s  p10 %8s  p50 %8s  p90 %8s\n", name, quantile(times, 0.1), quantile(times, 0.5), quantile(times, 0.9))
	}
	fmt.Printf("  another's / nobody's at p50 %.3f    goal 0.95 to 1.05\n\n", ratio(quantile(there, 0.5), quantile(absent, 0.5)))
	return nil
}

// refused asks for an exec that must be 404.
func (s *side) refused(ctx context.Context, web *http.Client, workspace string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.ready.URL+"/workspaces/"+workspace+"/exec", strings.NewReader(`{"cmd":["/bin/true"]}`))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.ready.Token)
	resp, err := web.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusNotFound {
		return fmt.Errorf("workspace %s: %s, want 404", workspace, resp.Status)
	}
	return nil
}
