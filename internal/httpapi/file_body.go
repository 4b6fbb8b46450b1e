package httpapi

import (
	"math"

	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
	"sallyport/internal/limits"
)

// filePatchBody is the body of PATCH …/files/{path}.
type filePatchBody struct {
	Mode  optional[string]  `json:"mode"`
	Mtime optional[string]  `json:"mtime"`
	UID   optional[integer] `json:"uid"`
	GID   optional[integer] `json:"gid"`
}

func (c *call) fileChange() (gateway.FileChange, error) {
	body, err := decode[filePatchBody](c)
	if err != nil {
		return gateway.FileChange{}, err
	}
	var change gateway.FileChange
	if change.Mode, err = fileMode(body.Mode.value, body.Mode.is(), 0o7777); err != nil {
		return change, err
	}
	if change.ModTime, err = fileTime(body.Mtime.value, body.Mtime.is()); err != nil {
		return change, err
	}
	if change.UID, err = owner("uid", body.UID); err != nil {
		return change, err
	}
	change.GID, err = owner("gid", body.GID)
	return change, err
}

// owner is a user's or a group's number; nil is none.
func owner(name string, n optional[integer]) (*int, error) {
	if !n.is() {
		return nil, nil
	}
	if n.value < 0 || n.value >= math.MaxUint32 {
		return nil, sallyport.Errorf(sallyport.Code("invalid_"+name), "%s must be a whole number from 0 to %d", name, uint32(math.MaxUint32-1))
	}
	id := int(n.value)
	return &id, nil
}

// fileActionBody is the body of POST …/files/{path}.
type fileActionBody struct {
	Action    string            `json:"action"`
	To        optional[string]  `json:"to"`
	ToBase64  optional[string]  `json:"to_base64"`
	Overwrite bool              `json:"overwrite"`
	Recursive bool              `json:"recursive"`
	Old       optional[string]  `json:"old"`
	New       optional[string]  `json:"new"`
	Expect    optional[integer] `json:"expect"`
}

func (c *call) fileAction() (sallyport.FileAction, error) {
	body, err := decode[fileActionBody](c)
	if err != nil {
		return sallyport.FileAction{}, err
	}
	action := sallyport.FileAction{Action: body.Action, Overwrite: body.Overwrite, Recursive: body.Recursive, Old: body.Old.value, New: body.New.value}
	if body.To.is() {
		action.To = &body.To.value
	}
	if body.ToBase64.is() {
		action.ToBase64 = &body.ToBase64.value
	}
	switch action.Action {
	case sallyport.FileActionMove, sallyport.FileActionCopy:
		return action, body.unused(body.Old.given || body.New.given || body.Expect.given, "old, new and expect")
	case sallyport.FileActionReplace:
		if err := body.unused(body.To.given || body.ToBase64.given || body.Overwrite || body.Recursive, "to, overwrite and recursive"); err != nil {
			return action, err
		}
		return action, body.replace(&action)
	}
	return action, sallyport.Errorf(sallyport.CodeInvalidAction, "action must be move, copy or replace")
}

func (b fileActionBody) unused(given bool, names string) error {
	if given {
		return sallyport.Errorf(sallyport.CodeInvalidAction, "%s do not go with the action %s", names, b.Action)
	}
	return nil
}

func (b fileActionBody) replace(action *sallyport.FileAction) error {
	if action.Old == "" || len(action.Old) > limits.ReplaceTextMax {
		return sallyport.Errorf(sallyport.CodeInvalidOld, "old must be 1 to %d bytes", limits.ReplaceTextMax)
	}
	if b.Expect.is() {
		if b.Expect.value < 1 || b.Expect.value > math.MaxInt32 {
			return sallyport.Errorf(sallyport.CodeInvalidExpect, "expect must be a whole number from 1 on")
		}
		n := int(b.Expect.value)
		action.Expect = &n
	}
	return nil
}
