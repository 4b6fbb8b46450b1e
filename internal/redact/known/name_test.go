package known

import "testing"

func TestKindOf(t *testing.T) {
	for _, c := range []struct {
		name string
		form Form
		want Kind
	}{
		{"", Assigned, Ordinary},
		{"PASSWORD", Assigned, Secret},
		{"dbPassword2", Assigned, Secret},
		{"PaSsWoRd", Assigned, Secret},
		{"APIToken", Assigned, Secret},
		{"DB_PASSWORD_PROD", Assigned, Secret},
		{"PASSWORD_FILE", Assigned, Ordinary},
		{"key", Assigned, Ordinary},
		{"MONKEY", Assigned, Ordinary},
		{"STRIPE_KEY", Assigned, Key},
		{"stripe_key", Spaced, Ordinary},
		{"SORT_KEY", Assigned, Ordinary},
		{"stripe-key", Flagged, Ordinary},
		{"api-key", Flagged, Key},
		{"X-Api-Key", Labelled, Key},
		{"max_tokens", Assigned, Ordinary},
		{"TOKENS", Assigned, Ordinary},
		{"API_TOKENS", Assigned, Count},
		{"no-password", Flagged, Ordinary},
		{"NO_PASSWORD", Assigned, Secret},
		{"secret_id", Assigned, Secret},
		{"secret-id", Flagged, Ordinary},
		{"PWD", Assigned, Ordinary},
		{"OLDPWD", Assigned, Ordinary},
		{"OLD_PWD", Assigned, Ordinary},
		{"pwd", Assigned, Dir},
		{"Pwd", Assigned, Secret},
		{"MYSQL_PWD", Assigned, Secret},
		{"_auth", Assigned, Secret},
		{"auth", Assigned, Ordinary},
		{"GITHUB_PAT", Assigned, Secret},
		{"have_pat", Assigned, Ordinary},
		{"Proxy-Authorization", Labelled, Header},
		{"Set-Cookie", Labelled, Cookie},
		{"X-Amz-Signature", Assigned, Signature},
	} {
		if got := KindOf(c.name, c.form); got != c.want {
			t.Errorf("kindOf(%q, %d) = %d, want %d", c.name, c.form, got, c.want)
		}
	}
}

func TestHolds(t *testing.T) {
	for _, c := range []struct {
		kind  Kind
		value string
		want  bool
	}{
		{Secret, "", false},
		{Secret, "x", true},
		{Secret, "false", false},
		{Secret, "/etc/passwd", true},
		{Ordinary, "x", false},
		{Key, "/etc/tls/k.pem", false},
		{Key, "/t0p+secret", true},
		{Key, "/etc/with=sign", true},
		{Count, "4096", false},
		{Count, "a,b", true},
		{Pass, "1", false},
		{Pass, "12", true},
		{Dir, "/home/bob", false},
		{Dir, "$(pwd)", false},
		{Dir, "$hunter2", true},
	} {
		if got := c.kind.Holds(c.value); got != c.want {
			t.Errorf("kind %d holds %q: %t", c.kind, c.value, got)
		}
	}
}
