package cli

import (
	"context"
	"iter"
	"slices"
	"strings"

	"sallyport/client"
	"sallyport/client/sallyport"
)

// runningKind is a kind of act that goes on for a while: ps lists it, and kill ends it.
type runningKind struct {
	// name is what tables call it, activity the type of its rows, and scope what it takes.
	name, activity string
	scope          sallyport.Scope
	// all yields those of a workspace, newest first.
	all func(c *client.Client, ctx context.Context, workspace, status string) iter.Seq2[sallyport.Activity, error]
	// get returns one of them, and end ends it; both are nil for what takes signals.
	get func(c *client.Client, ctx context.Context, workspace, id string) (sallyport.Activity, error)
	end func(c *client.Client, ctx context.Context, workspace, id string) error
}

func runningKinds() []runningKind {
	return []runningKind{
		{"exec", sallyport.ActivityExec, sallyport.ScopeExec, (*client.Client).AllExecs, nil, nil},
		{"terminal", sallyport.ActivityTerminal, sallyport.ScopeTerminal, (*client.Client).AllTerminals,
			(*client.Client).GetTerminal, (*client.Client).EndTerminal},
		{"forward", sallyport.ActivityForward, sallyport.ScopeForward, (*client.Client).AllForwards,
			(*client.Client).GetForward, (*client.Client).EndForward},
	}
}

// kindsFor returns the kinds that the token has the scope of: a refusal would leave a row. A
// token with none of them gets all, and so the refusal.
func kindsFor(ctx context.Context, c *client.Client) ([]runningKind, error) {
	quiet := *c
	quiet.OnAnswer = nil
	session, err := quiet.Session(ctx)
	if err != nil {
		return nil, err
	}
	all := runningKinds()
	allowed := slices.DeleteFunc(slices.Clone(all), func(k runningKind) bool { return !slices.Contains(session.Scopes, k.scope) })
	if len(allowed) == 0 {
		return all, nil
	}
	return allowed, nil
}

// ofWorkspace yields what there is of any of the kinds on a workspace, newest first.
func ofWorkspace(ctx context.Context, c *client.Client, kinds []runningKind, workspace, status string) iter.Seq2[sallyport.Activity, error] {
	lists := make([]iter.Seq2[sallyport.Activity, error], len(kinds))
	for i, k := range kinds {
		lists[i] = k.all(c, ctx, workspace, status)
	}
	return newestFirst(lists)
}

// newestFirst merges lists that are each newest first. It ends with the first error.
func newestFirst(lists []iter.Seq2[sallyport.Activity, error]) iter.Seq2[sallyport.Activity, error] {
	return func(yield func(sallyport.Activity, error) bool) {
		heads := make([]*head, 0, len(lists))
		for _, list := range lists {
			h := &head{}
			var stop func()
			h.next, stop = iter.Pull2(list)
			defer stop()
			if h.advance() {
				heads = append(heads, h)
			}
		}
		for len(heads) > 0 {
			newest := slices.MaxFunc(heads, compareHeads)
			if !yield(newest.row, newest.err) || newest.err != nil {
				return
			}
			if !newest.advance() {
				heads = slices.DeleteFunc(heads, func(h *head) bool { return h == newest })
			}
		}
	}
}

// head is the first row of a list that isn't yielded yet.
type head struct {
	next func() (sallyport.Activity, error, bool)
	row  sallyport.Activity
	err  error
}

func (h *head) advance() (ok bool) {
	h.row, h.err, ok = h.next()
	return ok
}

// compareHeads puts an error before any row, and a newer row before an older one.
func compareHeads(x, y *head) int {
	switch {
	case x.err != nil:
		return 1
	case y.err != nil:
		return -1
	}
	return compareAge(x.row, y.row)
}

// compareAge compares by id, which begins with the time.
func compareAge(x, y sallyport.Activity) int { return strings.Compare(x.ID, y.ID) }

// kindName is what tables call the kind of a row.
func kindName(r sallyport.Activity) string {
	for _, k := range runningKinds() {
		if k.activity == r.Type {
			return k.name
		}
	}
	return r.Type
}
