package shell

import "sort"

// A Word is the range of a word in the source.
type Word struct {
	From, To int
	// quoting is nil when the text is the source's range as it is.
	quoting *quoting
}

// quoting is how a word's text stands in the source.
type quoting struct {
	source string
	// at is where each byte of the text stands.
	at []int32
	// quotes are where the source has quotes that the text hasn't, in order.
	quotes []int32
	// holes are the substitutions, in order; the text has one byte for each, at
	// the hole's beginning.
	holes []Range
}

// Source calls add for the ranges of the source to mask for the bytes from to to
// of the text. They leave out holes, and leave the source's quotes balanced.
func (w *Word) Source(from, to int, add func(from, to int)) {
	q := w.quoting
	if q == nil {
		add(w.From+from, w.From+to)
		return
	}
	for from < to {
		next := to
		hole := sort.Search(len(q.holes), func(i int) bool { return q.holes[i].From >= int(q.at[from]) })
		if hole < len(q.holes) {
			begin := int32(q.holes[hole].From)
			next = min(to, sort.Search(len(q.at), func(i int) bool { return q.at[i] >= begin }))
		}
		if from < next {
			w.piece(from, next, add)
		}
		from = max(next, from)
		if from < to {
			from++
		}
	}
}

// piece does what Source does for bytes without holes.
func (w *Word) piece(from, to int, add func(from, to int)) {
	q := w.quoting
	tight := Range{int(q.at[from]), int(q.at[to-1]) + 1}
	wide := Range{w.From, w.To}
	if from > 0 {
		wide.From = q.end(from - 1)
	}
	if to < len(q.at) {
		wide.To = int(q.at[to])
	}
	switch {
	case q.quotesIn(tight) == 0:
		if tight.From > wide.From && q.source[tight.From-1] == '\\' {
			tight.From--
		}
		add(tight.From, tight.To)
	case q.quotesIn(Range{w.From, wide.From})%2 == 0 && q.quotesIn(wide)%2 == 0:
		add(wide.From, wide.To)
	default:
		q.betweenQuotes(from, to, add)
	}
}

// betweenQuotes calls add for each part that has no quote inside.
func (q *quoting) betweenQuotes(from, to int, add func(from, to int)) {
	begin := from
	next := q.quotesBefore(int(q.at[from]))
	for k := from + 1; k <= to; k++ {
		for next < len(q.quotes) && q.quotes[next] <= q.at[k-1] {
			next++
		}
		if k == to || next < len(q.quotes) && q.quotes[next] < q.at[k] {
			add(int(q.at[begin]), int(q.at[k-1])+1)
			begin = k
		}
	}
}

// end returns where the byte k of the text ends in the source.
func (q *quoting) end(k int) int {
	at := int(q.at[k])
	hole := sort.Search(len(q.holes), func(i int) bool { return q.holes[i].From >= at })
	if hole < len(q.holes) && q.holes[hole].From == at {
		return q.holes[hole].To
	}
	return at + 1
}

func (q *quoting) quotesIn(r Range) int { return q.quotesBefore(r.To) - q.quotesBefore(r.From) }

func (q *quoting) quotesBefore(at int) int {
	return sort.Search(len(q.quotes), func(i int) bool { return int(q.quotes[i]) >= at })
}
