package spec

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const id = "0198c9a4-8e50-7c1f-9d3a-1b2c3d4e5f60"

// answers that are as the document has them.
func health() Exchange {
	return Exchange{
		Method: "GET", URL: &url.URL{Path: "/healthz"}, Status: 200, Body: []byte(`{"status":"ok"}`), Whole: true,
		Header: http.Header{"X-Request-Id": {id}, "X-Content-Type-Options": {"nosniff"}, "Cache-Control": {"no-store"}, "Content-Type": {"application/json"}},
	}
}

func execAs(mediaType, body string) Exchange {
	e := health()
	e.Method, e.URL, e.Body = "POST", &url.URL{Path: "/workspaces/w/exec"}, []byte(body)
	e.Asked = []byte(`{"cmd":["true"]}`)
	e.Header.Set("Content-Type", mediaType)
	e.Header.Set("Sallyport-Exec-Id", id)
	e.Header.Set("Sallyport-Timeout-S", "30")
	return e
}

func refusal(path string, status int, code string) Exchange {
	e := health()
	e.URL, e.Status, e.Body = &url.URL{Path: path}, status, []byte(`{"error":"x","code":"`+code+`"}`)
	return e
}

const (
	ndjson = "application/x-ndjson"
	sse    = "text/event-stream"
	frames = "application/vnd.sallyport.frames"
	docker = "application/vnd.docker.multiplexed-stream"

	output = `{"stream":"stdout","data":"x","truncated":false}`
	result = `{"exit_code":0,"duration_ms":1}`
)

// TestCheck: what is described passes, and each departure from it does not.
func TestCheck(t *testing.T) {
	with := func(e Exchange, change func(*Exchange)) Exchange {
		e.Header = maps.Clone(e.Header)
		change(&e)
		return e
	}
	trailed := with(execAs(docker, "\x01\x00\x00\x00\x00\x00\x00\x01x"), func(e *Exchange) {
		e.Trailer = http.Header{"Sallyport-Exit-Code": {"0"}, "Sallyport-Result": {result}}
	})
	for name, e := range map[string]Exchange{
		"health":            health(),
		"HEAD":              with(health(), func(e *Exchange) { e.Method, e.Body = "HEAD", nil }),
		"not whole":         with(health(), func(e *Exchange) { e.Body, e.Whole = []byte(`{"sta`), false }),
		"NDJSON":            execAs(ndjson, output+"\n\n"+result+"\n"),
		"NDJSON, cut":       with(execAs(ndjson, output+"\n"+`{"exit`), func(e *Exchange) { e.Whole = false }),
		"a failure":         execAs(ndjson, `{"error":"x","code":"exec_timeout","timeout_s":30}`+"\n"),
		"SSE":               execAs(sse, "event: frame\ndata: "+output+"\n\n:\n\nevent: end\ndata: "+result+"\n\n"),
		"frames":            execAs(frames, "\x01\x00\x00\x00\x00\x00\x00\x01x\x04\x00\x00\x00\x00\x00\x00\x1f"+result),
		"Docker":            trailed,
		"no such path":      refusal("/nothing", 404, "not_found"),
		"a path not clean":  refusal("/workspaces/../orgs", 404, "not_found"),
		"no such workspace": refusal("/workspaces/w", 404, "workspace_not_found"),
	} {
		if err := Check(e); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, e := range map[string]Exchange{
		"status":                     with(health(), func(e *Exchange) { e.Status = 418 }),
		"another 2xx":                with(health(), func(e *Exchange) { e.Status = 201 }),
		"a header that isn't there":  with(health(), func(e *Exchange) { e.Header.Del("X-Request-Id") }),
		"a header of another form":   with(health(), func(e *Exchange) { e.Header.Set("X-Request-Id", "1") }),
		"a header twice":             with(health(), func(e *Exchange) { e.Header.Add("X-Request-Id", id) }),
		"an unknown header":          with(health(), func(e *Exchange) { e.Header.Set("X-Powered-By", "us") }),
		"media type":                 with(health(), func(e *Exchange) { e.Header.Set("Content-Type", "text/plain") }),
		"no media type":              with(health(), func(e *Exchange) { e.Header.Del("Content-Type") }),
		"a body to HEAD":             with(health(), func(e *Exchange) { e.Method = "HEAD" }),
		"an unknown field":           with(health(), func(e *Exchange) { e.Body = []byte(`{"status":"ok","since":1}`) }),
		"a field that isn't there":   with(health(), func(e *Exchange) { e.Body = []byte(`{}`) }),
		"a value":                    with(health(), func(e *Exchange) { e.Body = []byte(`{"status":"fine"}`) }),
		"no JSON":                    with(health(), func(e *Exchange) { e.Body = []byte(`{"status":"ok"}}`) }),
		"an unknown code":            refusal("/workspaces/w", 404, "gone"),
		"a code of another status":   refusal("/workspaces/w", 404, "unauthenticated"),
		"a code of another route":    refusal("/orgs/o", 404, "workspace_not_found"),
		"a method's own body":        with(refusal("/workspaces/w", 204, ""), func(e *Exchange) { e.Method = "DELETE" }),
		"no end":                     execAs(ndjson, output+"\n"),
		"two ends":                   execAs(ndjson, result+"\n"+result+"\n"),
		"within a line":              execAs(ndjson, output+"\n"+result),
		"an unknown field of output": execAs(ndjson, strings.Replace(output, "}", `,"x":1}`, 1)+"\n"+result+"\n"),
		"a code that ends nothing":   execAs(ndjson, `{"error":"x","code":"invalid_argv"}`+"\n"),
		"SSE without an end":         execAs(sse, "event: frame\ndata: "+output+"\n\n"),
		"an unknown event":           execAs(sse, "event: other\ndata: "+output+"\n\nevent: end\ndata: "+result+"\n\n"),
		"an end that is none":        execAs(sse, "event: end\ndata: "+output+"\n\n"),
		"frames without an end":      execAs(frames, "\x01\x00\x00\x00\x00\x00\x00\x01x"),
		"a piece of no kind":         execAs(frames, "\x03\x00\x00\x00\x00\x00\x00\x01x\x04\x00\x00\x00\x00\x00\x00\x1f"+result),
		"within a piece":             execAs(frames, "\x01\x00\x00\x00\x00\x00\x00\x02x"),
		"Docker's without trailers":  with(trailed, func(e *Exchange) { e.Trailer = nil }),
		"an unknown trailer":         with(trailed, func(e *Exchange) { e.Trailer = http.Header{"Sallyport-Result": {result}, "X": {"1"}} }),
		"a body that isn't taken":    with(execAs(ndjson, result+"\n"), func(e *Exchange) { e.Asked = []byte(`{"cmd":"true"}`) }),
	} {
		if err := Check(e); err == nil {
			t.Errorf("%s: it passed", name)
		}
	}
}
