package detached

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
)

//go:embed scripts/read.sh
var readPart string

// ErrBeyond is the error of a reading that was to begin beyond what has been written.
var ErrBeyond = errors.New("detached: the offset is beyond what has been written")

// ErrGone is the error of a reading of an exec that has no spool, or whose spool was
// removed meanwhile.
var ErrGone = errors.New("detached: there is no such spool")

// How often a machine is asked for more. A byte leaves within idleMax and two round trips of
// being written; what an idle follower costs the machine is one stat each idleMax.
const (
	idleMin = 50 * time.Millisecond
	idleMax = 500 * time.Millisecond
	// answerTime is how long a machine may say nothing while it is asked.
	answerTime = time.Minute
	// pieceMax bounds, in bytes, what of one stream goes before what waits of the other: a
	// part of a segment, or up to groupMax whole ones, for which a shell has descriptors of
	// one digit. Each takes a process on the machine.
	pieceMax = 16 << 20
	groupMax = 7
	// planMax bounds what is asked for ahead.
	planMax = 64
	// frameMax bounds the data of a frame, in bytes.
	frameMax = 64 << 10
)

// Read hands the output of an exec to out, in frames: those of one stream are in order,
// without gap or overlap, and tell what isn't kept any more. It goes on until what was there
// at its begin is read, or, with Follow, until the exec has ended; or until MaxBytes. It
// takes one session, and does nothing to the exec, however slow out is.
//
// It returns ErrBeyond before the first frame, ErrGone, out's error, the cause of ctx's end,
// or the *sallyport.Error that kept the machine from answering. The offsets of the result
// hold beside an error too; a negative one was never told.
func (e Execs) Read(ctx context.Context, want Read, out func(Frame) error) (Result, error) {
	r := &reading{want: want, out: out, left: want.MaxBytes}
	names := []string{want.ID}
	r.add(&names, want.Stdout, sallyport.Stdout, want.SinceStdout)
	r.add(&names, want.Stderr, sallyport.Stderr, want.SinceStderr)
	if !id.Is(want.ID) || len(r.streams) == 0 {
		return r.result(), ErrGone
	}
	r.start(ctx, e, names)
	defer r.close()
	err := r.run()
	return r.result(), err
}

// reading is a Read under way.
type reading struct {
	*talk
	want    Read
	out     func(Frame) error
	streams []*stream
	// left is how many bytes may come yet; void without MaxBytes.
	left  int64
	state State
	buf   []byte // while data comes, so that who idles holds none
}

// stream is how far one of the streams wanted is read.
type stream struct {
	name string
	next int64
	// until is where to end; void without bounded.
	until   int64
	bounded bool
}

func (r *reading) add(names *[]string, wanted bool, name string, since int64) {
	if wanted {
		*names = append(*names, name)
		r.streams = append(r.streams, &stream{name: name, next: since})
	}
}

func (r *reading) result() Result {
	res := Result{State: r.state, Ended: r.state.Phase != "" && r.state.Phase != Running, NextStdout: r.want.SinceStdout, NextStderr: r.want.SinceStderr}
	for _, s := range r.streams {
		if s.name == sallyport.Stdout {
			res.NextStdout = s.next
		} else {
			res.NextStderr = s.next
		}
	}
	return res
}

// run asks the machine what there is, and for that, until there is no more to come.
func (r *reading) run() error {
	asked, begun, idle := false, false, idleMin
	for {
		if !asked {
			r.say("l\n")
		}
		l, err := r.look(r.streams)
		if err != nil {
			return err
		}
		r.state = l.state
		if !begun {
			if err := r.begin(l); err != nil {
				return err
			}
			begun = true
		}
		running := l.state.Phase == Running
		if !r.want.Follow || !running {
			r.bound(l)
		}
		plan := r.plan(l)
		asked = r.ask(plan)
		came, err := r.takeAll(plan)
		if err != nil || r.over() {
			return err
		}
		if idle = next(idle, came); came || asked {
			continue
		}
		if err := r.wait(idle); err != nil {
			return err
		}
	}
}

// next is how long to wait for more, after idle and a look.
func next(idle time.Duration, came bool) time.Duration {
	if came {
		return idleMin
	}
	return min(2*idle, idleMax)
}

// begin finds where each stream is to be read from.
func (r *reading) begin(l look) error {
	for i, s := range r.streams {
		end := l.end(i, s.name)
		if s.next > end {
			return ErrBeyond
		}
		if s.next < 0 {
			s.next = max(0, end+s.next)
		}
	}
	return nil
}

// bound ends the streams where they end now: what a process writes that the command left
// behind could go on for ever.
func (r *reading) bound(l look) {
	for i, s := range r.streams {
		if !s.bounded {
			s.bounded, s.until = true, max(s.next, l.end(i, s.name))
		}
	}
}

// over reports whether no more is to come.
func (r *reading) over() bool {
	if r.want.MaxBytes > 0 && r.left == 0 {
		return true
	}
	return !slices.ContainsFunc(r.streams, func(s *stream) bool { return !s.bounded || s.next < s.until })
}

// piece is what comes next of a stream: a part of a segment, or a gap, from offset on.
type piece struct {
	segment, offset, length int64
	gap                     bool
	// whole reports that it is all of a segment which grows no more.
	whole bool
}

// group is what is asked for at once: pieces of one stream that follow each other, of which
// more than one are whole segments.
type group struct {
	*stream
	pieces []piece
	length int64
}

// join adds a piece, if it can be asked for together with those that are there.
func (g *group) join(p piece) bool {
	if len(g.pieces) > 0 && (!p.whole || !g.pieces[0].whole || len(g.pieces) == groupMax || g.length+p.length > pieceMax) {
		return false
	}
	g.pieces = append(g.pieces, p)
	g.length += p.length
	return true
}

// data is how many bytes of data come of it, if all is there.
func (g *group) data() int64 {
	if g.pieces[0].gap {
		return 0
	}
	return g.length
}

// request is what asks for the group: nothing, for a gap.
func (g *group) request() string {
	p := g.pieces[0]
	switch from := p.offset - p.segment; {
	case p.gap:
		return ""
	case len(g.pieces) == 1:
		return fmt.Sprintf("s %s.%d %d %d %d\n", g.name, p.segment, from, p.length, from+p.length)
	}
	line := "c"
	for _, p := range g.pieces {
		line += fmt.Sprintf(" %s.%d", g.name, p.segment)
	}
	return line + "\n"
}

// plan is what to take of what there is, from both streams in turn, and no more than may
// come: what of one stream doesn't fit behind the other's is planned anew.
func (r *reading) plan(l look) (plan []group) {
	left := int64(math.MaxInt64)
	if r.want.MaxBytes > 0 {
		left = r.left
	}
	var all [2][]group
	for i, s := range r.streams {
		all[i] = s.plan(l.segments[i], left)
	}
	for i := range planMax + 1 {
		for _, of := range all {
			if i >= len(of) {
				continue
			}
			if left < of[i].data() {
				return plan
			}
			left -= of[i].data()
			plan = append(plan, of[i])
		}
	}
	return plan
}

// plan is what comes of one stream, in order: planMax groups, and no more data than most.
func (s *stream) plan(segments []segment, most int64) (plan []group) {
	add := func(p piece) {
		if n := len(plan); n == 0 || !plan[n-1].join(p) {
			plan = append(plan, group{s, []piece{p}, p.length})
		}
	}
	at := s.next
	for i, g := range segments {
		end := g.offset + g.size
		if s.bounded {
			end = min(end, s.until)
		}
		if end <= at {
			continue
		}
		if g.offset > at {
			add(piece{offset: at, length: g.offset - at, gap: true})
			at = g.offset
		}
		for n := int64(0); at < end && len(plan) < planMax; at += n {
			if n = min(end-at, pieceMax, most); n == 0 {
				return plan
			}
			most -= n
			add(piece{segment: g.offset, offset: at, length: n, whole: n == g.size && i < len(segments)-1})
		}
		if len(plan) == planMax {
			return plan
		}
	}
	if s.bounded && at < s.until {
		add(piece{offset: at, length: s.until - at, gap: true})
	}
	return plan
}

// ask asks for what is planned. Behind that, where more may follow, it asks for what there is
// by then, and reports that: so nothing waits for a round trip while much is there.
func (r *reading) ask(plan []group) (again bool) {
	var b strings.Builder
	var sum int64
	for _, g := range plan {
		b.WriteString(g.request())
		sum += g.data()
	}
	if b.Len() == 0 {
		return false
	}
	again = !r.streams[0].bounded && (r.want.MaxBytes == 0 || sum < r.left)
	if again {
		b.WriteString("l\n")
	}
	r.say(b.String())
	return again
}

// takeAll takes what was asked for. It reports whether any data came.
func (r *reading) takeAll(plan []group) (came bool, err error) {
	for _, g := range plan {
		there, err := r.takeGroup(g)
		if err != nil {
			return came, err
		}
		came = came || there
	}
	r.buf = nil
	return came, nil
}

// takeGroup takes a group: first it is told which of its segments are still there, and then
// come their data. What is behind a missing one tells what is missing.
func (r *reading) takeGroup(g group) (came bool, err error) {
	if p := g.pieces[0]; p.gap {
		return false, r.skip(g.stream, p.offset+p.length)
	}
	there := g.pieces[:0:0]
	for _, p := range g.pieces {
		switch word, err := r.line(); {
		case err != nil:
			return false, err
		case word == "data":
			there = append(there, p)
		case word != "gone":
			return false, invalidAnswer("a segment can't be read")
		}
	}
	for _, p := range there {
		if err := r.take(g.stream, p); err != nil {
			return true, err
		}
	}
	return len(there) > 0, nil
}

// skip tells that a stream is not kept up to an offset.
func (r *reading) skip(s *stream, to int64) error {
	if to <= s.next {
		return nil
	}
	if err := r.out(Frame{Stream: s.name, Offset: s.next, Skipped: to - s.next}); err != nil {
		return err
	}
	s.next = to
	return nil
}

// take takes the data of a piece.
func (r *reading) take(s *stream, p piece) error {
	if err := r.skip(s, p.offset); err != nil {
		return err
	}
	if r.buf == nil {
		r.buf = make([]byte, frameMax)
	}
	for end := p.offset + p.length; s.next < end; {
		n, err := r.read(r.buf[:min(end-s.next, frameMax)])
		if err != nil {
			return err
		}
		if err := r.out(Frame{Stream: s.name, Offset: s.next, Data: r.buf[:n]}); err != nil {
			return err
		}
		s.next += int64(n)
		r.left -= int64(n)
	}
	return nil
}

// look is what a machine tells of a spool at a moment.
type look struct {
	state State
	// segments are those of the streams that were asked for, by their offsets.
	segments [2][]segment
}

type segment struct{ offset, size int64 }

// end is how much has been written of a stream, whether it was kept or not.
func (l look) end(i int, name string) (end int64) {
	for _, g := range l.segments[i] {
		end = max(end, g.offset+g.size)
	}
	written := l.state.StdoutBytes
	if name == sallyport.Stderr {
		written = l.state.StderrBytes
	}
	if written != nil {
		end = max(end, *written)
	}
	return end
}

func bySegmentOffset(a, b segment) int { return cmp.Compare(a.offset, b.offset) }
