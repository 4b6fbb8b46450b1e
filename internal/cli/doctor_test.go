package cli

import (
	"net/http"
	"strings"
	"time"

	"sallyport/client/sallyport"
)

// fakeHealth answers what needs no token: well, below /slow-clock with a clock that
// is an hour behind, and below /draining as a server that is ending. It tells
// whether there was anything to answer, and takes the prefix from the path.
func fakeHealth(w http.ResponseWriter, r *http.Request) bool {
	path, isSlow := strings.CutPrefix(r.URL.Path, "/slow-clock")
	path, isDraining := strings.CutPrefix(path, "/draining")
	r.URL.Path = path
	if path != "/healthz" && path != "/readyz" {
		return false
	}
	if isSlow {
		w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
	}
	if isDraining && path == "/readyz" {
		fakeJSON(w, 503, sallyport.Errorf(sallyport.CodeDraining, "the server is ending"))
		return true
	}
	fakeJSON(w, 200, map[string]string{"status": "ok"})
	return true
}
