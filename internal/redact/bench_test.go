package redact_test

import (
	"strings"
	"testing"
	"time"

	"sallyport/internal/limits"
	"sallyport/internal/redact"
)

// hostile are parts that, repeated, would make careless scanning quadratic.
var hostile = []string{
	"a", " ", "=", "'", `"`, `\`, `\"`, "-", "--", "----", "----BEGIN", "----- BEGIN ", "-----BEGIN PRIVATE", "END",
	"://", "a://b:c", "a://b:c/", "a@", "://@/", "token=", "token: ", "token=true ", "a=", "a_key=", "x_key=/etc/",
	"sk-", "ghs_.", "sk-a-", "eyJ", "eyJ-", "eyJaaaaaaaaaa.", "bearer ", "LS0tLS1CRUdJTi", "$(", "`", "${", "{", "[",
	`"token":[`, `"token":{`, `"token":`, "--token ", "--token --token ", "--password='", "identified by '", "password '",
	"mysql ", "sudo ", "docker ", "docker login ", "ssh ", "sshpass -p ", "sh -c ", "a;", "a|", "a | sudo -S ", "#", "\n",
	"<", "> ", "'a b' ", `"a b" `, "exec ", "-- mysql ", "a-", "ab_", "Authorization: ", "cookie: a=b\n", "A", "aA", "é",
	"%3D", `\n`, "]", "['token']=", "?token=a&", ",password=", ";pwd=", "$token=", "password=\"", "token=\\", "tokens=1",
	"\xff", "\u202e", "token='a'b", "it's ", "'\"'\"", "\\'", "echo a|chpasswd\n", "<<<", "2>",
	"<<EOF\n", "<<E\nE\n", "<(", "((", "$((", "case a in ", "$(case a in b)", "`\\`", "x$'a\\'", "\"$(", "${a:-", "a$(b)", "\"a\"", "f\"{", "\"${",
	"token=\"${a\" ", "token: \"", "-p ", "-u a -p ", "config set ", "printf %s a|chpasswd\n", "a:1:b:c:d\n", "BEGIN PRIVATE", "----END",
	"-----BEGIN PRIVATE KEY-----\nMIIE\n", "set password = '", "send \"", "python3 -c 'token=\"a b\"' ", "echo 'a b'|sh\n",
}

// hostileArgvs are as large as an argv may be.
func hostileArgvs(part string) map[string][]string {
	n := limits.ArgvBytesMax / len(part)
	return map[string][]string{
		"one element":   {"x", strings.Repeat(part, n)},
		"a script":      {"bash", "-c", strings.Repeat(part, n)},
		"code":          {"python3", "-c", strings.Repeat(part, n)},
		"many elements": strings.Split(strings.Repeat(part+"\x00", min(n, limits.ArgvElementsMax)), "\x00"),
	}
}

// TestHostileIsLinear has a limit far above what linear work takes on a slow
// machine, and far below what quadratic work takes on a fast one. A busy
// machine has several goes.
func TestHostileIsLinear(t *testing.T) {
	const timeMax, goes = time.Second, 3
	for _, part := range hostile {
		for name, argv := range hostileArgvs(part) {
			var took time.Duration
			for range goes {
				start := time.Now()
				redact.Summary(redact.Argv(argv))
				if took = time.Since(start); took <= timeMax {
					break
				}
			}
			if took > timeMax {
				t.Errorf("%q in %s: %v", part, name, took)
			}
		}
	}
}

func benchmarkArgv(b *testing.B, argv ...string) {
	b.ReportAllocs()
	n := 0
	for _, word := range argv {
		n += len(word) + 1
	}
	b.SetBytes(int64(n))
	for b.Loop() {
		redact.Argv(argv)
	}
}

func BenchmarkArgvTrue(b *testing.B) { benchmarkArgv(b, "/bin/true") }

func BenchmarkArgvPlain(b *testing.B) {
	benchmarkArgv(b, "rsync", "-avP", "--delete", "--exclude=.git", "/srv/data/", "backup@host:/srv/data/")
}

func BenchmarkArgvSecret(b *testing.B) {
	benchmarkArgv(b, "curl", "-fsS", "-u", "bob:hunter2", "-H", "X-Api-Key: abc", "https://example.com/?x=1")
}

func BenchmarkArgvScript(b *testing.B) {
	benchmarkArgv(b, "bash", "-lc", "set -e; cd /srv/app && git pull --ff-only && make build | tee build.log")
}

func BenchmarkArgvScriptSecret(b *testing.B) {
	benchmarkArgv(b, "bash", "-lc", "export TOKEN=abc; cd /srv/app && mysql -uroot -p'two words' db < dump.sql")
}

func BenchmarkArgvLargest(b *testing.B) {
	text := "the quick brown fox jumps over the lazy dog --flag=value 'quoted text' https://example.com/a?b=c\n"
	benchmarkArgv(b, "bash", "-c", strings.Repeat(text, limits.ArgvBytesMax/len(text)))
}

func BenchmarkArgvMostElements(b *testing.B) {
	benchmarkArgv(b, strings.Fields(strings.Repeat("--flag=value file.go ", limits.ArgvElementsMax/2))...)
}

func BenchmarkSummary(b *testing.B) {
	argv := []string{"bash", "-lc", "cd /srv/app && git pull --ff-only\nmake build"}
	b.ReportAllocs()
	for b.Loop() {
		redact.Summary(argv)
	}
}
