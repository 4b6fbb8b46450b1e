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
// being written. An idle follower costs the machine one stat each idleMax; one of a command
// that writes a little all the time costs it two or three small processes each idleMin.
const (
	idleMin = 200 * time.Millisecond
	idleMax = 500 * time.Millisecond
	// busyMin is how many bytes at once make the next look follow without a pause.
	busyMin = 32 << 10
	// answerTime is how long a machine may be silent while an answer is due.
	answerTime = time.Minute
	// pieceMax bounds, in bytes, how much of one stream is sent before the other has its
	// turn: a part of a segment, or up to groupMax whole segments, since shells have file
	// descriptors of one digit. Either takes one process on the machine.
	pieceMax = 16 << 20
	groupMax = 7
	// planMax bounds the requests that are made ahead of their answers, for each stream.
	planMax = 64
	// frameMax bounds the data of a frame, in bytes.
	frameMax = 64 << 10
)

// Read hands the output of an exec to out, in frames. The frames of one stream are in order,
// without gap or overlap; those with Skipped stand for bytes that are not kept any more. Read
// goes on until it has read the output that was there at its start, or, with Follow, until the
// exec has ended; or until MaxBytes. It takes one session, and a slow out does nothing to the
// exec.
//
// It returns ErrBeyond or ErrGone before the first frame, and later ErrGone, out's error, the
// cause of ctx's end, or the error that kept the machine from answering. The offsets of the
// result are good beside an error too; a negative one was never resolved.
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
	// isBounded reports that the streams have an until.
	isBounded bool
	// left is how many bytes of data may still come, if want has MaxBytes.
	left  int64
	state State
	// buf is nil while no data comes, so that an idle reading holds none.
	buf []byte
}

// stream is a stream that is wanted.
type stream struct {
	name string
	// next is the offset of the next byte, and until that of the last one and one more.
	next, until int64
}

func (r *reading) add(names *[]string, wanted bool, name string, since int64) {
	if wanted {
		*names = append(*names, name)
		r.streams = append(r.streams, &stream{name: name, next: since, until: math.MaxInt64})
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

// run looks at the spool and takes the bytes it finds, again and again.
func (r *reading) run() error {
	isAsked, isBegun, idle := false, false, idleMin
	for {
		if !isAsked {
			r.say("l\n")
		}
		l, err := r.look(r.streams)
		if err != nil {
			return err
		}
		if r.state = l.state; !isBegun {
			if err := r.begin(l); err != nil {
				return err
			}
			isBegun = true
		}
		if !r.want.Follow || l.state.Phase != Running {
			r.bound(l)
		}
		plan := r.plan(l)
		isAsked = r.ask(plan)
		came, err := r.takeAll(plan)
		if err != nil || r.over() {
			return err
		}
		idle = nextIdle(idle, came)
		if isAsked || came && r.isBounded {
			continue
		}
		if err := r.wait(idle); err != nil {
			return err
		}
	}
}

// nextIdle returns the pause behind a look, from the pause before it.
func nextIdle(idle time.Duration, came bool) time.Duration {
	if came {
		return idleMin
	}
	return min(idle+idleMin/2, idleMax)
}

// begin resolves the offsets to read from.
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
	if r.want.Begun == nil {
		return nil
	}
	first := r.result()
	return r.want.Begun(first.NextStdout, first.NextStderr)
}

// bound ends the streams where they end now. A process that the command left behind could
// write for ever.
func (r *reading) bound(l look) {
	if r.isBounded {
		return
	}
	r.isBounded = true
	for i, s := range r.streams {
		s.until = max(s.next, l.end(i, s.name))
	}
}

// over reports whether no more is to come.
func (r *reading) over() bool {
	if r.want.MaxBytes > 0 && r.left == 0 {
		return true
	}
	return !slices.ContainsFunc(r.streams, func(s *stream) bool { return s.next < s.until })
}

// piece is a part of a segment, or a gap between segments, from offset on.
type piece struct {
	segment, offset, length int64
	gap                     bool
	// whole reports that the piece is all of a segment, and that the segment grows no more.
	whole bool
}

// group is one request: consecutive pieces of one stream. More than one are whole segments.
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

// request is the line that asks for the group; empty for a gap.
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

// plan lists the groups to take, from both streams in turn. Behind the first that is more than
// may still come, it ends.
func (r *reading) plan(l look) (plan []group) {
	left := int64(math.MaxInt64)
	if r.want.MaxBytes > 0 {
		left = r.left
	}
	var all [2][]group
	for i, s := range r.streams {
		all[i] = s.plan(l.segments[i], left, r.isBounded)
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

// plan is what comes of one stream, in order: planMax groups, and no more data than most. Of a
// bounded one it has the gap at the end.
func (s *stream) plan(segments []segment, most int64, isBounded bool) (plan []group) {
	add := func(p piece) {
		if n := len(plan); n == 0 || !plan[n-1].join(p) {
			plan = append(plan, group{s, []piece{p}, p.length})
		}
	}
	at := s.next
	for i, g := range segments {
		end := min(g.offset+g.size, s.until)
		if end <= at {
			continue
		}
		if from := min(g.offset, s.until); from > at {
			add(piece{offset: at, length: from - at, gap: true})
			at = from
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
	if isBounded && at < s.until {
		add(piece{offset: at, length: s.until - at, gap: true})
	}
	return plan
}

// ask asks for the groups of a plan. If they are many bytes of a stream without a bound, it
// asks behind them for the next look, and reports that: so no round trip passes in silence.
func (r *reading) ask(plan []group) (again bool) {
	var b strings.Builder
	var sum int64
	for _, g := range plan {
		b.WriteString(g.request())
		sum += g.data()
	}
	again = !r.isBounded && sum >= busyMin && (r.want.MaxBytes == 0 || sum < r.left)
	if again {
		b.WriteString("l\n")
	}
	if b.Len() > 0 {
		r.say(b.String())
	}
	return again
}

// takeAll takes the groups of a plan. It reports whether any data came.
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

// takeGroup takes a group: first a line for each of its segments, whether it is still there,
// and then their data. A missing one is told by the next piece that is there.
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

// look is the state of a spool at a moment, as the machine tells it.
type look struct {
	state State
	// segments are those of the streams that were asked for, by their offsets.
	segments [2][]segment
}

type segment struct{ offset, size int64 }

// end is the offset behind the last byte that was written, whether it was kept or not.
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
