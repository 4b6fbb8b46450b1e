package httpapi_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// bodyRoutes are the routes with a body, but for exec, which has a target of its own.
var bodyRoutes = []struct{ method, path string }{
	{http.MethodPost, "/orgs"},
	{http.MethodPatch, "/orgs/o"},
	{http.MethodPost, "/orgs/o/tokens"},
	{http.MethodPost, "/workspaces"},
	{http.MethodPatch, "/workspaces/w?org=o"},
	{http.MethodPost, "/workspaces/w/tokens?org=o"},
}

// recordCodes is what the body of a record may be refused with.
var recordCodes = []sallyport.Code{
	sallyport.CodeInvalidJSON, sallyport.CodeUnknownField, sallyport.CodeInvalidName, sallyport.CodeInvalidOrgID, sallyport.CodeInvalidTier,
	sallyport.CodeInvalidLabels, sallyport.CodeInvalidConnector, sallyport.CodeInvalidScopes, sallyport.CodeInvalidExpiry,
}

// FuzzRecordBody: whatever is sent to be kept, it is refused with one of the known
// codes, or what is kept of it is within the contract's bounds.
func FuzzRecordBody(f *testing.F) {
	for i := range bodyRoutes {
		for _, s := range []string{
			``, `{}`, `null`, `[]`, `{"name":"a-1"}`, `{"name":"o"}`, `{"name":null}`, `{"name":"a","name":"b"}`, `{"n\u0061me":"a","name":"b"}`, `{"Name":"a"}`,
			"\ufeff{}", "{\"name\":\"\xff\"}", `{"name":"\ud800"}`, `{"name":"a"}{}`, `{"name":"a"} // x`, `{"name":"а"}`, `{"name":"\u202e"}`,
			`{"org_id":"o","name":"x","tier":4,"labels":{"team":"red"},"connector":{"type":"local"}}`, `{"org_id":"o","name":"x","tier":1e400}`,
			`{"org_id":"o","name":"x","labels":{"a":"\u001b[2J"}}`, `{"org_id":"o","name":"x","labels":{"a":null}}`, `{"org_id":"..","name":"x"}`,
			`{"tier":99999999999999999999}`, `{"tier":null}`, `{"labels":{"a":"1","\u0061":"2"}}`, `{"labels":null}`, `{"connector":{"type":"local","x":1}}`,
			`{"name":"t","scopes":["exec","tokens"],"expires_in_s":60}`, `{"name":"t","scopes":["*"]}`, `{"name":"t","expires_in_s":-0}`,
			`{"name":"t","expires_in_s":9223372036854775807}`, `{"name":` + strings.Repeat("[", 30) + `}`,
		} {
			f.Add(byte(i), s)
		}
	}
	a := newAPI(f)
	f.Fuzz(func(t *testing.T, which byte, body string) {
		route := bodyRoutes[int(which)%len(bodyRoutes)]
		w := a.answer(a.request(route.method, route.path, body))
		switch code := codeOf(t, w); {
		case code == "":
			if fault := faultOfRecord(w.Body.Bytes()); fault != "" || !json.Valid([]byte(body)) || !utf8.ValidString(body) {
				t.Errorf("%s %s %.500q: kept %s: %s", route.method, route.path, body, w.Body, fault)
			}
			a.undo(t, route.method, route.path, w.Body.Bytes())
		case w.Code == http.StatusBadRequest && slices.Contains(recordCodes, code),
			w.Code == http.StatusConflict && code == sallyport.CodeNameTaken,
			w.Code == http.StatusNotFound && code == sallyport.CodeNotFound, // of org_id
			w.Code == http.StatusRequestEntityTooLarge && len(body) > limits.BodyBytesMax:
		default:
			t.Errorf("%s %s %.500q: %d %s", route.method, route.path, body, w.Code, w.Body)
		}
	})
}

var recordName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// faultOfRecord says what of the contract an organisation, workspace or token
// breaks; "" is nothing.
func faultOfRecord(answer []byte) string {
	var r struct {
		Name   string
		Tier   *int
		Labels map[string]string
		Scopes []sallyport.Scope
	}
	if err := json.Unmarshal(answer, &r); err != nil {
		return err.Error()
	}
	isControl := func(s string) bool { return strings.IndexFunc(s, unicode.IsControl) >= 0 }
	switch {
	case r.Scopes == nil && !recordName.MatchString(r.Name):
		return "the name is none"
	case r.Scopes != nil && (isControl(r.Name) || utf8.RuneCountInString(r.Name) > limits.TokenNameCharsMax || r.Name == ""):
		return "the token's name is none"
	case r.Tier != nil && (*r.Tier < 1 || *r.Tier > 4):
		return "there is no such tier"
	case len(r.Labels) > limits.LabelsMax:
		return "too many labels"
	}
	for key, value := range r.Labels {
		if key == "" || isControl(key+value) || len(key) > limits.LabelKeyBytesMax || len(value) > limits.LabelBytesMax {
			return "a label is none"
		}
	}
	return ""
}

// undo takes back what was made or renamed, so that each input finds the same.
func (a *api) undo(t *testing.T, method, path string, answer []byte) {
	t.Helper()
	var made struct{ ID, Name string }
	if err := json.Unmarshal(answer, &made); err != nil {
		t.Fatal(err)
	}
	path, query, _ := strings.Cut(path, "?")
	kind, name, _ := strings.Cut(path[1:], "/")
	r := a.request(http.MethodDelete, path+"/"+made.ID+"?"+query, "")
	if method == http.MethodPatch { // the id names it still
		r = a.request(method, "/"+kind+"/"+made.ID, `{"name":"`+name+`"}`)
	}
	if w := a.answer(r); w.Code >= 300 {
		t.Fatalf("undo %s: %d %s", answer, w.Code, w.Body)
	}
}
