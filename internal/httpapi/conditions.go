package httpapi

import (
	"net/http"
	"strings"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
)

// conditions are the preconditions of a request (RFC 9110, section 13).
type conditions struct {
	ifMatch, ifNoneMatch             []string // entity tags, or "*"; nil is none
	ifModifiedSince, ifUnmodifiedSin time.Time
}

func conditionsOf(h http.Header) conditions {
	return conditions{
		ifMatch: entityTags(h.Values("If-Match")), ifNoneMatch: entityTags(h.Values("If-None-Match")),
		ifModifiedSince: httpTime(h.Get("If-Modified-Since")), ifUnmodifiedSin: httpTime(h.Get("If-Unmodified-Since")),
	}
}

// any tells whether there are conditions.
func (c conditions) any() bool {
	return c.ifMatch != nil || c.ifNoneMatch != nil || !c.ifModifiedSince.IsZero() || !c.ifUnmodifiedSin.IsZero()
}

// onlyNew tells whether the condition is that nothing is there.
func (c conditions) onlyNew() bool { return len(c.ifNoneMatch) == 1 && c.ifNoneMatch[0] == "*" }

// httpTime is a date; one that can't be read counts as none (RFC 9110, 13.1.3).
func httpTime(text string) time.Time {
	t, err := http.ParseTime(text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// entityTags splits a list of entity tags: a comma may stand within one.
func entityTags(fields []string) []string {
	if len(fields) == 0 {
		return nil
	}
	tags := []string{}
	text := strings.Join(fields, ",")
	for text = strings.TrimLeft(text, " \t,"); text != ""; text = strings.TrimLeft(text, " \t,") {
		open := strings.IndexByte(text, '"')
		end := -1
		if open >= 0 && (open == 0 || text[:open] == "W/") {
			end = strings.IndexByte(text[open+1:], '"')
		}
		if end < 0 { // * or what is no tag
			tag, rest, _ := strings.Cut(text, ",")
			tags, text = append(tags, strings.TrimSpace(tag)), rest
			continue
		}
		tags, text = append(tags, text[:open+end+2]), text[open+end+2:]
	}
	return tags
}

// verdict is what conditions say of what is there.
type verdict int

const (
	proceed verdict = iota
	notModified
	failed
)

// judge evaluates the conditions in RFC 9110's order (13.2.2) against what is there; nil is
// nothing. reads is set for GET and HEAD.
func (c conditions) judge(e *gateway.FileEntry, reads bool) verdict {
	switch {
	case c.ifMatch != nil:
		if !matches(c.ifMatch, e, true) {
			return failed
		}
	case !c.ifUnmodifiedSin.IsZero() && (e == nil || e.ModTime.Truncate(time.Second).After(c.ifUnmodifiedSin)):
		return failed
	}
	switch {
	case c.ifNoneMatch != nil:
		if matches(c.ifNoneMatch, e, false) {
			if reads {
				return notModified
			}
			return failed
		}
	case reads && !c.ifModifiedSince.IsZero() && e != nil && !e.ModTime.Truncate(time.Second).After(c.ifModifiedSince):
		return notModified
	}
	return proceed
}

// matches tells whether one of the tags is e's; * is any that is there. The strong
// comparison takes no weak tag (RFC 9110, 8.8.3.2).
func matches(tags []string, e *gateway.FileEntry, strong bool) bool {
	for _, tag := range tags {
		if tag == "*" && e != nil {
			return true
		}
		if !strong {
			tag = strings.TrimPrefix(tag, "W/")
		}
		if e != nil && e.ETag != "" && tag == e.ETag {
			return true
		}
	}
	return false
}

func preconditionFailed() error {
	return sallyport.Errorf(sallyport.CodePreconditionFailed, "the file is not, or no longer, as the request's conditions say")
}

// ready is the conditions of a change.
func (c conditions) ready(old *gateway.FileEntry) error {
	if c.judge(old, false) != proceed {
		return preconditionFailed()
	}
	return nil
}
