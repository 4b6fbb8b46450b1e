package house

import (
	"fmt"
	"go/ast"
)

// ban says what some packages never import, and why. Packages of ours are
// named by their folder, others by their import path; "x/..." is x and all
// below it.
type ban struct {
	who  []string
	what []string
	why  string
}

// keeper says who alone imports something, and why.
type keeper struct {
	what []string
	who  []string
	why  string
}

// allowance says what some packages may import of ours, when that is little.
type allowance struct {
	who  []string
	only []string
	// alone: nothing but the standard library besides, and what also names.
	alone bool
	also  []string
	why   string
}

// Names for what several rows speak of.
var (
	waysIn = []string{"internal/httpapi", "internal/mcp", "internal/console"}
	sshLib = []string{"golang.org/x/crypto/ssh/..."}
	sqlLib = []string{"database/sql/...", "modernc.org/sqlite/...", "github.com/jackc/pgx/v5/...", "github.com/pressly/goose/v3/..."}
	http   = []string{"net/http/..."}

	// testSupport are suites that several tests share: code for tests that is
	// not in test files.
	testSupport = []string{"internal/connector/connectortest", "internal/store/storetest"}
)

var bans = []ban{
	{waysIn, []string{"internal/store/...", "internal/sshpool", "internal/remote/...", "internal/sshhost", "internal/connector/..."},
		"a way in asks the gateway; it never sees a store or a machine"},
	{waysIn, sshLib, "a way in asks the gateway; it never sees a machine"},
	{[]string{"internal/gateway", "internal/administration", "internal/access"}, http, "the gateway serves every way in, and HTTP is one of them"},
	{[]string{"internal/identity", "internal/policy", "internal/quota", "internal/audit"}, http,
		"who may and what happened are the same whichever way a caller came"},
	{[]string{"internal/identity", "internal/policy", "internal/quota", "internal/audit", "internal/access", "internal/administration"}, sshLib,
		"who may and what happened are decided before any machine is reached"},
	{[]string{"internal/remote/...", "internal/sshpool", "internal/connector/...", "internal/sshhost"},
		[]string{"internal/identity", "internal/principal", "internal/policy"},
		"what touches a machine knows no tenants and no tokens"},
	{[]string{"internal/connector/..."}, []string{"internal/sshpool", "internal/store/..."},
		"a connector is a way to a machine and keeps nothing"},
	{[]string{"internal/cli"}, sshLib, "the command line speaks HTTP to a server"},
}

var keepers = []keeper{
	{[]string{"internal/remote/..."}, []string{"internal/gateway", "internal/diagnosis", "internal/server"},
		"law 1: nothing touches a workspace except through the gateway (the server only wires it)"},
	{[]string{"internal/sshpool"}, []string{"internal/remote", "internal/gateway", "internal/diagnosis", "internal/server"},
		"law 1: a connection is leased for an act of the gateway"},
	{[]string{"internal/diagnosis"}, []string{"internal/gateway"}, "law 1: a diagnosis is an act of the gateway"},
	{sqlLib, []string{"internal/store/sqlite", "internal/store/postgres", "internal/store/column"}, "SQL lives in the engines, and in what they share"},
	{[]string{"internal/store/column"}, []string{"internal/store/sqlite", "internal/store/postgres"}, "what a column holds is the engines' alone to know"},
	{[]string{"internal/store/sqlite", "internal/store/postgres"}, []string{"internal/server", "internal/doctor", "internal/backup"},
		"which engine it is, is known where it is opened and nowhere else"},
	{[]string{"github.com/prometheus/..."}, []string{"internal/meter"}, "what is watched doesn't know by whom"},
	{[]string{"go.opentelemetry.io/..."}, []string{"internal/tracing"}, "what is watched doesn't know by whom"},
	{[]string{"client"}, []string{"internal/cli"}, "the server never calls itself over HTTP"},
	{append([]string{"testing/..."}, testSupport...), testSupport, "test support has no place in the program"},
}

var allowances = []allowance{
	{who: []string{"client/sallyport"}, alone: true, why: "clients import the vocabulary, so it stays light"},
	{who: []string{"client/frame"}, only: []string{"client/sallyport"}, alone: true, why: "clients import it, so it stays light"},
	{who: []string{"client"}, only: []string{"client/sallyport", "client/frame"}, alone: true, also: []string{"github.com/coder/websocket"},
		why: "clients import it, so it stays light: a library of WebSockets that brings no other, and nothing else"},
	{who: []string{"internal/cli"},
		only: []string{"client/sallyport", "client", "internal/server", "internal/config", "internal/doctor", "internal/backup", "internal/logqueue", "internal/spelling", "client/frame", "internal/limits", "internal/id", "internal/localtree", "internal/sftpserver"},
		why:  "client commands go through client, a server's through server, the three rooms that look at one, and the SFTP server that is a process of its own; the rest of the house is behind those"},
	{who: []string{"cmd/sallyport"}, only: []string{"internal/cli"}, why: "main starts the command line and does nothing else"},
}

// checkBans reports imports that the three tables forbid.
func checkBans(t *tree) []finding {
	var found []finding
	for _, p := range t.packages {
		if floor, ok := floorOf(rungs, p.dir); ok && floor == outside {
			continue
		}
		found = append(found, checkImports(t, p, func(spec *ast.ImportSpec) string {
			return forbids(p.dir, spec)
		}, "bans")...)
	}
	return found
}

// forbids says why dir may not import what spec does; "" when it may.
func forbids(dir string, spec *ast.ImportSpec) string {
	imported := importPath(spec)
	for _, b := range bans {
		if matches(b.who, dir) && matches(b.what, imported) {
			return fmt.Sprintf("imports %s: %s", imported, b.why)
		}
	}
	for _, k := range keepers {
		if matches(k.what, imported) && !matches(k.who, dir) {
			return fmt.Sprintf("imports %s, which is for %v alone: %s", imported, k.who, k.why)
		}
	}
	for _, a := range allowances {
		if matches(a.who, dir) && !a.allows(spec) {
			return fmt.Sprintf("imports %s, and of ours it may import only %v: %s", imported, a.only, a.why)
		}
	}
	return ""
}

func (a allowance) allows(spec *ast.ImportSpec) bool {
	if isOurs(spec) {
		return matches(a.only, importPath(spec))
	}
	return !a.alone || isStandard(spec) || matches(a.also, importPath(spec))
}
