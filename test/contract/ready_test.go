package contract

import (
	"maps"
	"net/http"
	"testing"

	"sallyport/test/pg"
	"sallyport/test/stack"
)

// A server that shares its store with others and can't be asked by them says so.
func TestReadiness(t *testing.T) {
	engine := pg.Start(t)
	asked := map[string]string{"SALLYPORT_REPLICA_LISTEN": "127.0.0.1:0", "SALLYPORT_REPLICA_URL": "https://127.0.0.1:0"}
	for name, c := range map[string]struct {
		isShared bool
		env      map[string]string
		want     string
	}{
		"alone":                    {want: "ready"},
		"shared, can be asked":     {isShared: true, env: asked, want: "ready"},
		"shared, can not be asked": {isShared: true, want: "degraded"},
	} {
		t.Run(name, func(t *testing.T) {
			env := map[string]string{}
			if c.isShared {
				env["SALLYPORT_STORE_URL"] = engine.Database(t)
			}
			maps.Copy(env, c.env)
			s := stack.Start(t, stack.Options{Env: env})
			if a := s.Do(t, http.MethodGet, "/readyz", "", ""); a.Status != http.StatusOK || a.Body != `{"status":"`+c.want+`"}`+"\n" {
				t.Errorf("%d %s, want %s", a.Status, a.Body, c.want)
			}
		})
	}
}
