package gateway

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
	"sallyport/internal/store"
)

// claim is what an exec's idempotency key stands for: all that was asked, as it was
// understood, and of which workspace; nil is no key. It is kept as a hash that takes a
// key from outside the store, since what was asked may hold secrets.
func (g *Gateway) claim(ws store.Workspace, e Exec) (*store.Claim, error) {
	if e.IdempotencyKey == "" {
		return nil, nil
	}
	asked, err := json.Marshal(claimed(ws.ID, e))
	if err != nil {
		return nil, fmt.Errorf("hash what the idempotency key stands for: %w", err)
	}
	defer clear(asked)
	return &store.Claim{
		Hash: sha256.Sum256([]byte(e.IdempotencyKey)), Bodies: g.MAC("idempotency/"+ws.OrgID, asked), At: g.Now().UTC(), Life: e.keyLife(),
	}, nil
}

// claimedExec is the part of an exec with a key that is hashed, as JSON. Hashes outlive a version
// of the program by a day, and while servers are replaced the versions beside each other
// must agree on them: the bytes for what could be asked before never change. So a field
// that is new stands at the end and is left out (omitempty) where it isn't asked for. A
// golden test holds the bytes.
type claimedExec struct {
	Workspace string
	Exec      struct {
		Argv           []string
		Env            []Var
		Cwd            string
		Stdin          []byte
		TimeoutS       int
		MaxOutputBytes int64
		Stream         bool
		// IdempotencyKey is always empty; it was there in the first version.
		IdempotencyKey string
		Output         *sallyport.OutputSize `json:",omitempty"`
		StreamedStdin  bool                  `json:",omitempty"`
		Detached       bool                  `json:",omitempty"`
		KeepS          int                   `json:",omitempty"`
	}
	// Version is 0, left out, until what stands above means something else.
	Version int `json:",omitempty"`
}

func claimed(workspaceID string, e Exec) claimedExec {
	c := claimedExec{Workspace: workspaceID}
	c.Exec.Argv, c.Exec.Cwd, c.Exec.Stdin = e.Argv, e.Cwd, e.Stdin
	c.Exec.TimeoutS, c.Exec.MaxOutputBytes, c.Exec.Stream = e.TimeoutS, e.MaxOutputBytes, e.Stream
	c.Exec.Output, c.Exec.StreamedStdin = e.Output, e.StreamedStdin != nil
	c.Exec.Detached, c.Exec.KeepS = e.Detached, e.KeepS
	c.Exec.Env = slices.Clone(e.Env)
	slices.SortFunc(c.Exec.Env, func(a, b Var) int { return strings.Compare(a.Name, b.Name) })
	return c
}

// keyTaken is the answer where another exec has the key.
func keyTaken(t store.Taken) *sallyport.Error {
	if !t.Same {
		return sallyport.Errorf(sallyport.CodeIdempotencyMismatch, "the Idempotency-Key was used for something else: another command, or another workspace")
	}
	e := sallyport.Errorf(sallyport.CodeAlreadyRun, "this was run already, with the same Idempotency-Key")
	e.ExecID = t.ExecID
	if t.Status == sallyport.StatusRunning {
		e.Code, e.Message = sallyport.CodeRunning, "this runs already, with the same Idempotency-Key"
		return e
	}
	e.Status, e.ExitCode = t.Status, t.ExitCode
	return e
}

// nothingRan tells of an exec's end whether nothing has run: with the same key it may be
// tried again.
func nothingRan(err error) bool {
	var known *sallyport.Error
	if !errors.As(err, &known) {
		return false
	}
	return known.Started != nil && !*known.Started || known.Code == sallyport.CodeTooManyExecs
}

// keyLife is how long the exec's key is kept: of one that is detached, as long as its output at
// the longest.
func (e Exec) keyLife() time.Duration {
	if !e.Detached {
		return limits.IdempotencyKeyLife
	}
	return max(limits.IdempotencyKeyLife, time.Duration(e.TimeoutS+e.KeepS)*time.Second)
}
