package gateway

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sallyport"
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
	key := e.IdempotencyKey
	e.IdempotencyKey = ""
	e.Env = slices.Clone(e.Env)
	slices.SortFunc(e.Env, func(a, b Var) int { return strings.Compare(a.Name, b.Name) })
	asked, err := json.Marshal(struct {
		Workspace string
		Exec      Exec
	}{ws.ID, e})
	if err != nil {
		return nil, fmt.Errorf("hash what the idempotency key stands for: %w", err)
	}
	defer clear(asked)
	return &store.Claim{
		Hash: sha256.Sum256([]byte(key)), Bodies: g.MAC("idempotency/"+ws.OrgID, asked), At: g.Now().UTC(), Life: limits.IdempotencyKeyLife,
	}, nil
}

// keyTaken is what is answered where another exec has the key.
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
