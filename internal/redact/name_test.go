package redact

import "testing"

func TestKindOf(t *testing.T) {
	for _, c := range []struct {
		name string
		form nameForm
		want nameKind
	}{
		{"", formAssigned, ordinary},
		{"PASSWORD", formAssigned, secret},
		{"dbPassword2", formAssigned, secret},
		{"PaSsWoRd", formAssigned, secret},
		{"APIToken", formAssigned, secret},
		{"DB_PASSWORD_PROD", formAssigned, secret},
		{"PASSWORD_FILE", formAssigned, ordinary},
		{"key", formAssigned, ordinary},
		{"MONKEY", formAssigned, ordinary},
		{"STRIPE_KEY", formAssigned, keyName},
		{"stripe_key", formSpaced, ordinary},
		{"SORT_KEY", formAssigned, ordinary},
		{"stripe-key", formFlag, ordinary},
		{"api-key", formFlag, keyName},
		{"X-Api-Key", formHeader, keyName},
		{"max_tokens", formAssigned, ordinary},
		{"TOKENS", formAssigned, ordinary},
		{"API_TOKENS", formAssigned, countName},
		{"no-password", formFlag, ordinary},
		{"NO_PASSWORD", formAssigned, secret},
		{"secret_id", formAssigned, secret},
		{"secret-id", formFlag, ordinary},
		{"PWD", formAssigned, ordinary},
		{"OLDPWD", formAssigned, ordinary},
		{"OLD_PWD", formAssigned, ordinary},
		{"pwd", formAssigned, dirName},
		{"Pwd", formAssigned, secret},
		{"MYSQL_PWD", formAssigned, secret},
		{"_auth", formAssigned, secret},
		{"auth", formAssigned, ordinary},
		{"GITHUB_PAT", formAssigned, secret},
		{"have_pat", formAssigned, ordinary},
		{"Proxy-Authorization", formHeader, headerName},
		{"Set-Cookie", formHeader, cookieName},
		{"X-Amz-Signature", formAssigned, signatureName},
	} {
		if got := kindOf(c.name, c.form); got != c.want {
			t.Errorf("kindOf(%q, %d) = %d, want %d", c.name, c.form, got, c.want)
		}
	}
}

func TestHolds(t *testing.T) {
	for _, c := range []struct {
		kind  nameKind
		value string
		want  bool
	}{
		{secret, "", false},
		{secret, "x", true},
		{secret, "false", false},
		{secret, "/etc/passwd", true},
		{ordinary, "x", false},
		{keyName, "/etc/tls/k.pem", false},
		{keyName, "/t0p+secret", true},
		{keyName, "/etc/with=sign", true},
		{countName, "4096", false},
		{countName, "a,b", true},
		{passName, "1", false},
		{passName, "12", true},
		{dirName, "/home/bob", false},
		{dirName, "$(pwd)", false},
		{dirName, "$hunter2", true},
	} {
		if got := c.kind.holds(c.value); got != c.want {
			t.Errorf("kind %d holds %q: %t", c.kind, c.value, got)
		}
	}
}
