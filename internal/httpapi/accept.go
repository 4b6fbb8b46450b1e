package httpapi

import (
	"iter"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"sallyport/client/frame"
	"sallyport/client/sallyport"
)

// acceptedEncoding is the encoding that a caller likes best of those there are
// (RFC 9110, section 12.5.1). NDJSON answers who asks for none, or for what there
// isn't.
func acceptedEncoding(accept []string) frame.Encoding {
	best, bestQ := frame.NDJSON, 0.0
	for name, q := range accepted(accept) {
		if as, known := encodingOf(name); known && q > bestQ {
			best, bestQ = as, q
		}
	}
	return best
}

// accepted yields the media types of an Accept header with their weights, and leaves out
// what it can't read.
func accepted(accept []string) iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		for _, part := range elements(accept) {
			name, params, err := mime.ParseMediaType(part)
			if err != nil {
				continue
			}
			q := 1.0
			if text, ok := params["q"]; ok {
				if q, err = strconv.ParseFloat(text, 64); err != nil {
					continue
				}
			}
			if !yield(name, q) {
				return
			}
		}
	}
}

func encodingOf(mediaType string) (as frame.Encoding, known bool) {
	switch mediaType {
	case sallyport.MediaNDJSON, "application/*", "*/*":
		return frame.NDJSON, true
	case sallyport.MediaSSE:
		return frame.SSE, true
	case sallyport.MediaFrames:
		return frame.Raw, true
	case sallyport.MediaDocker:
		return frame.Docker, true
	}
	return frame.NDJSON, false
}

func mediaType(as frame.Encoding) string {
	switch as {
	case frame.SSE:
		return sallyport.MediaSSE
	case frame.Raw:
		return sallyport.MediaFrames
	case frame.Docker:
		return sallyport.MediaDocker
	}
	return sallyport.MediaNDJSON
}

// declareTrailers announces the trailers, where the encoding has them.
func declareTrailers(h http.Header, as frame.Encoding) {
	if as == frame.Docker {
		h.Set("Trailer", strings.Join([]string{sallyport.TrailerExitCode, sallyport.TrailerErrorCode, sallyport.TrailerResult}, ", "))
	}
}

// setTrailers tells the last frame in the trailers, where the encoding has them.
func setTrailers(h http.Header, as frame.Encoding, last any) {
	if as != frame.Docker {
		return
	}
	switch last := last.(type) {
	case sallyport.ExecResult:
		h.Set(sallyport.TrailerExitCode, strconv.Itoa(last.ExitCode))
	case *sallyport.Error:
		h.Set(sallyport.TrailerErrorCode, string(last.Code))
	case sallyport.OutputEnd:
		if last.ExitCode != nil {
			h.Set(sallyport.TrailerExitCode, strconv.Itoa(*last.ExitCode))
		}
		if last.Code != "" {
			h.Set(sallyport.TrailerErrorCode, string(last.Code))
		}
	}
	h.Set(sallyport.TrailerResult, string(frame.Last(last)))
}
