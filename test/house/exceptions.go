package house

import "fmt"

// exception lets one subject break one rule for now.
type exception struct {
	rule string
	// subject is the file (a package's folder for rules about packages), and
	// for a function its name after a blank: "internal/x/y.go Run".
	subject string
	why     string
}

// exceptions may only shrink: an entry that is no longer needed fails the test.
// The ladder and the bans have none; there a new case is a new row with its reason.
var exceptions = []exception{
	{"background", "client/file_fs.go", "io/fs has no contexts, and FS() is for those who have none; WithContext is for others"},
	{"background", "internal/audit/writer.go", "a commit holds the rows of many requests, and none of them may end it"},
	{"background", "internal/feed/tail.go", "a tail lives as long as its readers, longer than any one of them"},
	{"background", "internal/sshpool/pool.go", "a pool lives from its first lease to Close, longer than any caller"},
	{"background", "internal/store/sqlite/writer.go", "the checkpoint at Close belongs to no request"},
	{"init", "test/apart/apart.go", "the environment must be the tests' own before anything of theirs reads it, TestMain and package variables too"},
	{"panic", "client/frame/encoding.go", "json.Marshal of strings and numbers can't fail"},
	{"panic", "internal/remote/exec.go", "a panic of its caller's goes on once the command is ended"},
	{"panic", "internal/httpapi/httpapi.go", "http.ErrAbortHandler is how net/http is told to cut an answer"},
}

// sift returns what no exception covers, and a finding for each exception that
// covers nothing.
func sift(found []finding, exceptions []exception) []finding {
	needed := make([]bool, len(exceptions))
	var left []finding
	for _, f := range found {
		covered := false
		for i, e := range exceptions {
			if e.rule == f.rule && e.subject == f.subject {
				needed[i], covered = true, true
			}
		}
		if !covered {
			left = append(left, f)
		}
	}
	for i, e := range exceptions {
		if !needed[i] {
			left = append(left, finding{e.rule, "test/house/exceptions.go", e.subject,
				fmt.Sprintf("the exception for %q is no longer needed: delete it", e.subject)})
		}
	}
	return left
}
