package files

import (
	_ "embed"
	"strings"
)

// The scripts, each with what it needs in front of it. A machine's sh reads what it is
// sent a byte at a time, so that comments stay here.
var (
	//go:embed scripts/prologue.sh
	prologue string
	//go:embed scripts/target.sh
	targetPart string
	//go:embed scripts/tree.sh
	treePart string
	//go:embed scripts/walk.sh
	walkPart string
	//go:embed scripts/read.sh
	readPart string
	//go:embed scripts/stat.sh
	statPart string
	//go:embed scripts/serve.sh
	servePart string
	//go:embed scripts/extract.sh
	extractPart string
	//go:embed scripts/write.sh
	writePart string
	//go:embed scripts/kept.sh
	keptPart string
	//go:embed scripts/mkdir.sh
	mkdirPart string
	//go:embed scripts/change.sh
	changePart string
	//go:embed scripts/move.sh
	movePart string
	//go:embed scripts/copy.sh
	copyPart string
	//go:embed scripts/remove.sh
	removePart string
	//go:embed scripts/send.sh
	sendPart string
	//go:embed scripts/den.sh
	denPart string
	//go:embed scripts/attach.sh
	attachPart string
	//go:embed scripts/fetch.sh
	fetchPart string
	//go:embed scripts/detach.sh
	detachPart string
)

// script joins parts, without their comments and empty lines.
func script(parts ...string) string {
	var b strings.Builder
	for _, part := range append([]string{prologue}, parts...) {
		for line := range strings.Lines(part) {
			if s := strings.TrimSpace(line); s != "" && s[0] != '#' {
				b.WriteString(s)
				b.WriteByte('\n')
			}
		}
	}
	return b.String()
}
