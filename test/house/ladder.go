package house

import (
	"fmt"
	"go/ast"
)

// Floors that architecture.md has no number for.
const (
	// ground lies under floor 0: what everything may import and what imports
	// nothing of ours.
	ground = -1
	// outside is where tests of the whole and measurements stand. They look at
	// every room and at each other, no room imports them, and the bans don't bind
	// them.
	outside = 10
)

// rung is the place of one package.
type rung struct {
	dir   string // as matches has it
	floor int
	why   string
}

// rungs is the house from the ground up. A package imports only lower floors;
// rooms on one floor don't know each other. Tests may import anything.
var rungs = []rung{
	{"client/sallyport", ground, "the vocabulary that server, command line and client share"},
	{"internal/limits", ground, "every bound, with its unit and its reason"},
	{"internal/disk", ground, "what a server does with its own files, whatever they hold"},
	{"internal/localtree", ground, "what the command line does with local files, of which others send the names and the content"},
	{"internal/fairqueue", ground, "whose turn it is, whatever they wait for"},
	{"internal/spelling", ground, "what an unknown word was meant to be, of commands and of keys"},
	{"internal/recent", ground, "answers of a moment ago, whatever was asked"},
	{"internal/id", ground, "ids are made and told in one way everywhere"},
	{"internal/redact/shell", ground, "a text as a shell splits it"},
	{"internal/redact/known", ground, "what is known of names, programs and tokens, as data"},

	{"internal/connector", 0, "the contract of the ways to a machine, apart from the ways themselves"},
	{"internal/sshhost", 0, "the embedded SSH server: to its clients a machine like any other"},
	{"internal/sftpserver", 0, "what the embedded host runs for SFTP, as a process of its own"},
	{"internal/principal", 0, "who asks, without how it was proven"},
	{"client/frame", 0, "framing, used at both ends of the wire"},
	{"internal/openapi", 0, "the document of the HTTP API, and its page, made of that alone"},
	{"internal/redact", 0, "masking, a function of text alone"},
	{"internal/field", 0, "what callers may write, whatever is done with it"},
	{"internal/datadir", 0, "a data directory and its lock"},
	{"internal/logqueue", 0, "a log that nobody waits for, whatever it is about"},
	{"internal/keys", 0, "the CA and the sealing of stored keys"},

	{"internal/openapi/gen", 1, "the program that makes the document of the API"},
	{"internal/store", 1, "records and errors; engines and users meet here"},
	{"internal/connector/local", 1, "a way to a machine"},
	{"internal/connector/ssh", 1, "a way to a machine"},
	{"internal/connector/eic", 1, "a way to a machine"},
	{"internal/connector/agent", 1, "a way to a machine"},
	{"internal/connector/connectortest", 1, "test support: the suite that each connector passes"},
	{"client", 1, "the public Go client: it must stay light for those who import it"},

	{"internal/sshpool", 2, "warm connections over any connector"},
	{"internal/store/column", 2, "how records stand in columns: the same in both engines"},
	{"internal/store/storetest", 2, "test support: the suite that each engine passes, in terms of store's records"},
	{"internal/recording", 2, "recordings of terminals in sealed files, whoever makes and reads them"},
	{"internal/bus", 2, "notices between replicas"},

	{"internal/store/sqlite", 3, "an engine"},
	{"internal/store/postgres", 3, "an engine"},
	{"internal/identity", 3, "tokens become principals"},
	{"internal/policy", 3, "decisions, pure"},
	{"internal/quota", 3, "limits in force"},
	{"internal/peer", 3, "how servers ask each other, whatever they ask"},
	{"internal/replica", 3, "who is alive among the servers on one store"},
	{"internal/remote", 3, "the acts on one leased connection"},
	{"internal/audit", 3, "the activity log and its integrity"},
	{"internal/live", 3, "what runs now, whatever it is"},

	{"internal/remote/files", 4, "the files of a machine, by scripts that somebody runs for it"},
	{"internal/remote/detached", 4, "commands that outlive their session, by scripts that somebody runs for it"},
	{"internal/config", 4, "every key: it asks identity and store what a value may be"},
	{"internal/feed", 4, "the activity log as it happens"},
	{"internal/access", 4, "what each use case begins with: who may see and do what"},
	{"internal/diagnosis", 4, "the steps on the way to a machine, whoever asks for them"},

	{"internal/doctor", 5, "what is wrong with a machine, beside the server that runs there"},
	{"internal/backup", 5, "copies of a store, beside the server that uses it"},
	{"internal/gateway", 5, "the use cases on machines: decide, record, reach, act, record"},
	{"internal/administration", 5, "the use cases on our own records, which reach no machine"},

	{"internal/cluster", 6, "what servers tell and ask each other: it has the gateway act on it"},
	{"internal/meter", 6, "a way out for numbers: it asks the gateway, as the ways in do"},
	{"internal/tracing", 6, "a way out for traces"},
	{"internal/httpapi", 6, "a way in"},
	{"internal/mcp", 6, "a way in"},
	{"internal/console", 6, "a way in"},

	{"internal/server", 7, "everything is built and wired here"},
	{"internal/cli", 8, "the commands; dev and server start a server"},
	{"cmd/sallyport", 9, "main"},
	{"internal/cli/man", 9, "the program that writes the manual pages"},

	{"bench", outside, "measures the whole"},
	{"test/...", outside, "tests of the whole and what they share"},
}

// floorOf returns the floor of a package's folder.
func floorOf(rungs []rung, dir string) (int, bool) {
	for _, r := range rungs {
		if matches([]string{r.dir}, dir) {
			return r.floor, true
		}
	}
	return 0, false
}

// checkLadder reports packages without a rung and imports that don't lead down.
func checkLadder(t *tree, rungs []rung) []finding {
	var found []finding
	for _, p := range t.packages {
		floor, ok := floorOf(rungs, p.dir)
		if !ok {
			found = append(found, finding{"ladder", p.dir, p.dir,
				"this package has no place in the house: put it on a rung, with the reason (rungs in test/house/ladder.go)"})
			continue
		}
		found = append(found, checkImports(t, p, func(spec *ast.ImportSpec) string {
			return climbs(rungs, floor, spec)
		}, "ladder")...)
	}
	return found
}

// climbs says what is wrong with an import from floor; "" is nothing.
func climbs(rungs []rung, floor int, spec *ast.ImportSpec) string {
	imported, ok := floorOf(rungs, importPath(spec))
	if !isOurs(spec) || !ok || imported < floor || floor == outside {
		return ""
	}
	return fmt.Sprintf("imports %s of floor %s from floor %s, and imports lead down: "+
		"declare here the few methods that you need, or move what both need to a lower floor",
		importPath(spec), floorName(imported), floorName(floor))
}

func floorName(floor int) string {
	switch floor {
	case ground:
		return "ground"
	case outside:
		return "outside"
	}
	return fmt.Sprint(floor)
}

// checkImports calls fault for every import of p outside its tests, and makes a
// finding of what it answers.
func checkImports(t *tree, p *pkg, fault func(*ast.ImportSpec) string, rule string) []finding {
	var found []finding
	for _, f := range p.files {
		if f.isTest {
			continue
		}
		for _, spec := range f.syntax.Imports {
			if message := fault(spec); message != "" {
				found = append(found, finding{rule, t.at(spec), f.path, message})
			}
		}
	}
	return found
}
