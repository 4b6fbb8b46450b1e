//go:build linux

package faults

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/test/stack"
)

const execsAtOnce = 200

// TestConcurrentExecs runs many execs at once, while others page through their
// rows, and then counts: a row each, and no number of a change lost or given twice.
func TestConcurrentExecs(t *testing.T) {
	s := stack.Start(t, stack.Options{})
	c := newCaller(t, s)
	readers := startPaging(t, c, 3)
	answers := make([]answer, execsAtOnce)
	errs := make([]error, execsAtOnce)
	var wg sync.WaitGroup
	for i := range execsAtOnce {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			answers[i], errs[i] = c.exec(ctx, variant(i))
		})
	}
	wg.Wait()
	readers.stop(t)

	rows := byID(t, s.Execs(t))
	if len(rows) != execsAtOnce {
		t.Errorf("%d rows, want %d", len(rows), execsAtOnce)
	}
	ids := map[string]bool{}
	for i, a := range answers {
		if errs[i] != nil {
			t.Fatalf("exec %d: %v", i, errs[i])
		}
		checkVariant(t, i, a, rows[a.execID])
		ids[a.execID] = true
	}
	if len(ids) != execsAtOnce {
		t.Errorf("%d ids, want %d", len(ids), execsAtOnce)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	checkSeqs(t, filepath.Join(s.DataDir, "sallyport.db"), execsAtOnce)
}

// variant is the i-th exec: by turns buffered and streamed, with and without
// stdin, well and failing.
func variant(i int) sallyport.ExecRequest {
	e := shell(fmt.Sprintf("echo $SALLYPORT_EXEC_ID; cat >&2; exit %d", variantExit(i)))
	e.Stream = i%2 == 1
	if i%4 < 2 {
		e.StdinBase64 = []byte(variantStdin(i))
	}
	return e
}

func variantExit(i int) int {
	if i%5 == 0 {
		return 1 + i%100
	}
	return 0
}

func variantStdin(i int) string {
	if i%4 < 2 {
		return strings.Repeat(fmt.Sprintf("stdin %d\n", i), 100)
	}
	return ""
}

func checkVariant(t *testing.T, i int, a answer, row sallyport.Activity) {
	t.Helper()
	if a.result == nil || a.result.ExitCode != variantExit(i) || string(a.stdout) != a.execID+"\n" || string(a.stderr) != variantStdin(i) {
		t.Errorf("exec %d: %s", i, a)
	}
	want := sallyport.StatusOK
	if variantExit(i) != 0 {
		want = sallyport.StatusError
	}
	if row.Status != want || row.ExitCode == nil || *row.ExitCode != variantExit(i) || *row.StderrBytes != int64(len(variantStdin(i))) {
		t.Errorf("exec %d: row %+v", i, row)
	}
}

// paging reads an organisation's activity, page after page, while it grows.
type paging struct {
	caller *caller
	size   int
	quit   chan struct{}
	wg     sync.WaitGroup

	// Its goroutine's until that has ended.
	seen  map[string]bool
	seqs  map[int64]string // whose change each number is
	walks int
	fault error
}

// startPaging starts as many readers, each with pages of another size.
func startPaging(t testing.TB, c *caller, readers int) *pagings {
	all := &pagings{}
	for i := range readers {
		p := &paging{caller: c, size: 5 + 7*i, quit: make(chan struct{}), seen: map[string]bool{}, seqs: map[int64]string{}}
		*all = append(*all, p)
		p.wg.Go(func() { p.run(t.Context()) })
	}
	return all
}

// pagings are several readers.
type pagings []*paging

// stop ends the readers after one more walk each, and tells what they found.
func (all *pagings) stop(t testing.TB) {
	t.Helper()
	for _, p := range *all {
		close(p.quit)
		p.wg.Wait()
		if p.fault != nil {
			t.Error(p.fault)
		}
		if p.walks < 2 {
			t.Errorf("%d walks: too few to say anything", p.walks)
		}
	}
}

func (p *paging) run(ctx context.Context) {
	for last := false; ; {
		if err := p.walk(ctx); err != nil {
			p.fault = err
			return
		}
		p.walks++
		if last {
			return
		}
		select {
		case <-p.quit:
			last = true
		default:
		}
	}
}

// walk reads the whole list once: every row that was there before is there
// again, none is there twice, and no number belongs to two rows.
func (p *paging) walk(ctx context.Context) error {
	found := map[string]bool{}
	for cursor, more := "", true; more; more = cursor != "" {
		page, err := p.page(ctx, cursor)
		if err != nil {
			return err
		}
		for _, row := range page.Items {
			if found[row.ID] {
				return fmt.Errorf("row %s is on two pages", row.ID)
			}
			found[row.ID] = true
			if owner, taken := p.seqs[row.Seq]; taken && owner != row.ID {
				return fmt.Errorf("seq %d is of two rows, %s and %s", row.Seq, owner, row.ID)
			}
			p.seqs[row.Seq] = row.ID
		}
		cursor = page.NextCursor
	}
	for id := range p.seen {
		if !found[id] {
			return fmt.Errorf("row %s was lost on the way through the pages", id)
		}
	}
	p.seen = found
	return nil
}

func (p *paging) page(ctx context.Context, cursor string) (page sallyport.List[sallyport.Activity], err error) {
	path := fmt.Sprintf("/orgs/dev/activity?limit=%d&cursor=%s", p.size, cursor)
	err = p.caller.getJSON(ctx, path, &page)
	return page, err
}
