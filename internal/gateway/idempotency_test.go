package gateway

import (
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"testing"
)

// TestClaimedBytes holds what is hashed of an exec, byte for byte, as it was in the first
// version that had keys: a server of that version beside this one must find the same, and
// keys that it has taken are good for a day. A difference turns 409 into 422.
func TestClaimedBytes(t *testing.T) {
	for want, e := range map[string]Exec{
		`{"Workspace":"w","Exec":{"Argv":["printf","\u003ca\u003e\u0026 é\u2028\n"],"Env":[{"Name":"A","Value":"1"},{"Name":"B","Value":"2"}],"Cwd":"/srv","Stdin":"aGk=","TimeoutS":30,"MaxOutputBytes":1048576,"Stream":true,"IdempotencyKey":""}}`: {
			Argv: []string{"printf", "<a>& é\u2028\n"}, Env: []Var{{Name: "B", Value: "2"}, {Name: "A", Value: "1"}}, Cwd: "/srv",
			Stdin: []byte("hi"), TimeoutS: 30, MaxOutputBytes: 1 << 20, Stream: true, IdempotencyKey: "k",
		},
		`{"Workspace":"w","Exec":{"Argv":["true"],"Env":null,"Cwd":"","Stdin":null,"TimeoutS":1,"MaxOutputBytes":9,"Stream":false,"IdempotencyKey":""}}`: {
			Argv: []string{"true"}, TimeoutS: 1, MaxOutputBytes: 9, IdempotencyKey: "k",
		},
	} {
		got, err := json.Marshal(claimed("w", e))
		if err != nil || string(got) != want {
			t.Errorf("got  %s (%v)\nwant %s", got, err, want)
		}
	}
}

// TestClaimedIsAll: whatever can be asked is part of what a key stands for, so that the
// same key with another request is a mismatch.
func TestClaimedIsAll(t *testing.T) {
	asked := reflect.TypeFor[Exec]()
	for i := range asked.NumField() {
		name := asked.Field(i).Name
		if name == "IdempotencyKey" {
			continue
		}
		none, _ := json.Marshal(claimed("w", Exec{}))
		var e Exec
		set(reflect.ValueOf(&e).Elem().Field(i))
		some, _ := json.Marshal(claimed("w", e))
		if string(none) == string(some) {
			t.Errorf("a key doesn't stand for Exec.%s: add it to claimedExec, at the end and with omitempty", name)
		}
	}
}

// set makes a value another than its zero.
func set(v reflect.Value) {
	switch v.Kind() {
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Interface:
		v.Set(reflect.ValueOf(io.NopCloser(strings.NewReader(""))))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("x")
	default:
		v.SetInt(1)
	}
}
