// Package doctor examines a machine for the server that runs there, or would run.
package doctor

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/store"
	"sallyport/internal/store/sqlite"
)

// Status is how well something is.
type Status string

// From best to worst.
const (
	StatusOK   Status = "ok"
	StatusWarn Status = "warn"
	StatusFail Status = "fail"
)

// Finding is one thing that was looked at.
type Finding struct {
	// Check names what was looked at, in a word or two.
	Check  string `json:"check"`
	Status Status `json:"status"`
	// Message says what was found, without a secret.
	Message string `json:"message"`
	// Hint says what to do about it; empty when nothing has to be done.
	Hint string `json:"hint,omitempty"`
}

// Options say how Examine looks.
type Options struct {
	Version string
	// Deep reads all of the store, however large.
	Deep bool
}

// Examine looks at this machine as a server that runs, or would run, by the
// configuration finds it. It changes nothing: a scratch file in the data directory
// is removed again, and the address of a server that doesn't run is listened on for
// an instant.
func Examine(ctx context.Context, loaded *config.Loaded, o Options) []Finding {
	d := &doctor{cfg: loaded.Config, settings: loaded.Settings(), options: o, began: time.Now()}
	for _, look := range []func(context.Context){
		d.versions, d.configuration, d.tlsFiles, d.dataDir, d.disk, d.syncTime, d.database, d.seal, d.staleMachines, d.address, d.replica, d.servedCertificate, d.openFiles, d.tools, d.clock,
	} {
		if ctx.Err() != nil {
			break
		}
		look(ctx)
	}
	return d.found
}

// doctor is one examination.
type doctor struct {
	cfg      config.Config
	settings []config.Setting
	options  Options
	began    time.Time

	found []Finding

	// What dataDir finds for those after it.
	dir string // the data directory, or the nearest above it that is there
	// isThere: the data directory itself, and may be used.
	isThere bool
	held    bool // by a process
	pid     int  // which, 0 when that is not known

	// What database finds: nil when there is none to read.
	store *sqlite.Inspection
	// What sharedDatabase finds: the machines that trust the CA of before.
	stale []store.StaleMachine
}

func (d *doctor) add(status Status, check, hint, format string, args ...any) {
	d.found = append(d.found, Finding{Check: check, Status: status, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (d *doctor) ok(check, format string, args ...any) { d.add(StatusOK, check, "", format, args...) }

func (d *doctor) warn(check, hint, format string, args ...any) {
	d.add(StatusWarn, check, hint, format, args...)
}

func (d *doctor) fail(check, hint, format string, args ...any) {
	d.add(StatusFail, check, hint, format, args...)
}

func (d *doctor) versions(context.Context) {
	d.ok("versions", "sallyport %s, %s, %s/%s", d.options.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
