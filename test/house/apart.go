package house

import (
	"slices"
	"strings"
)

// apartPackage keeps the tests of who imports it from the person who runs them.
const apartPackage = "test/apart"

// reaching are imports by which a test comes to read an environment or a home: it starts
// processes, or servers, or what asks AWS.
var reaching = []string{
	"os/exec", "internal/server", "internal/doctor", "internal/cli", "internal/connector/eic", "internal/connector/local", "internal/sshhost",
	"test/stack", "test/sshd", "test/pg",
}

// checkApart reports packages whose tests would read what belongs to the person who
// runs them.
func checkApart(t *tree) []finding {
	var found []finding
	for _, p := range t.packages {
		var by string
		isApart := p.dir == apartPackage
		for _, f := range p.files {
			for _, spec := range f.syntax.Imports {
				name := strings.Trim(spec.Path.Value, `"`)
				name = strings.TrimPrefix(name, "sallyport/")
				if f.isTest && slices.Contains(reaching, name) {
					by = name
				}
				isApart = isApart || name == apartPackage
			}
		}
		if by != "" && !isApart {
			found = append(found, finding{"apart", p.dir, p.dir,
				"its tests use " + by + ", and so read the environment of whoever runs them: import sallyport/" + apartPackage + " in one of them, for its effect"})
		}
	}
	return found
}
