package known

// wordKinds are the last words of names that hold secrets. What depends on the
// word before is judged in KindOf first.
var wordKinds = map[string]Kind{
	"password": Secret, "passwd": Secret, "passphrase": Secret, "passcode": Secret,
	"passwort": Secret, "pw": Secret, "secret": Secret, "token": Secret, "jwt": Secret,
	"bearer": Secret, "psk": Secret, "otp": Secret, "pat": Secret, "credential": Key,
	"requirepass": Secret, "masterauth": Secret,
	"pass":   Pass,
	"tokens": Count, "passwords": Count, "passphrases": Count,
	"credentials": Key, "creds": Key,
	"authorization": Header, "cookie": Cookie,
	"signature": Signature, "sig": Signature,
}

// gluedEnds are ends of words that were written together.
var gluedEnds = []struct {
	end  string
	kind Kind
}{
	{"password", Secret}, {"passwd", Secret}, {"passphrase", Secret}, {"passwort", Secret},
	{"token", Secret}, {"secret", Secret},
	{"apikey", Key}, {"accesskey", Key}, {"secretkey", Key}, {"privatekey", Key},
	{"authkey", Key}, {"accountkey", Key}, {"masterkey", Key}, {"signingkey", Key},
	{"encryptionkey", Key}, {"sharedkey", Key}, {"storagekey", Key},
	{"storepass", Secret}, {"keypass", Secret}, {"sshpass", Secret}, {"userpass", Secret},
	{"dbpass", Secret}, {"rootpass", Secret}, {"adminpass", Secret}, {"ftppass", Secret},
	{"smtppass", Secret}, {"mailpass", Secret}, {"httppass", Secret}, {"loginpass", Secret},
	{"bindpw", Secret}, {"rootpw", Secret}, {"userpw", Secret}, {"adminpw", Secret}, {"dbpw", Secret},
}

// neutralWords may follow the word that decides: DB_PASSWORD_PROD.
var neutralWords = setOf("prod", "production", "dev", "development", "staging", "stage", "test",
	"testing", "live", "sandbox", "old", "new", "current", "previous", "primary", "secondary",
	"default", "main", "base", "value", "raw", "string", "plain", "plaintext", "text", "binary",
	"hash", "hex", "b64", "base64", "encoded", "confirm", "confirmation", "again", "repeat", "literal")

// switchWords begin the names of flags that take no secret: --no-password.
var switchWords = setOf("no", "ask", "without", "skip", "disable", "enable", "use", "require",
	"allow", "generate", "print", "show", "prompt", "force", "has", "is", "random", "list", "need",
	"forget", "hide")

// notSecretFlags are flags, as splitName has them, that name a file.
var notSecretFlags = setOf("auth_user_pass", "secret_id")

// secretKeys are the words before "key" that make it a Secret in any form.
var secretKeys = setOf("api", "access", "secret", "private", "priv", "auth", "account", "encryption",
	"encrypt", "decryption", "decrypt", "signing", "sign", "master", "shared", "storage", "license",
	"licence", "subscription", "session", "service", "app", "application", "admin", "integration",
	"ingest", "ingestion", "hmac", "aes", "cipher", "preshared", "wep", "wpa", "webhook", "sas",
	"registration", "consumer", "bot", "unseal", "seal", "apikey")

// notSecretKeys are the words before "key" that never make it one.
var notSecretKeys = setOf("public", "pub", "primary", "foreign", "sort", "partition", "cache", "host",
	"row", "index", "map", "hot", "object", "lookup", "group", "routing", "idempotency", "s3", "range",
	"hash", "json", "dict", "any", "enter", "arrow", "meta", "ctrl", "alt", "shift", "leader", "prefix",
	"registry", "reg", "bucket", "unique", "composite", "natural", "surrogate", "issue", "project",
	"translation", "config", "feature", "metric", "page", "event", "trace", "component", "doc", "parent",
	"label", "tag", "shard", "join", "order", "search", "field", "column", "compose", "answer", "no",
	"has", "is", "use", "press", "modifier", "message", "item", "value", "name", "locale", "i18n",
	"lang", "known")

// notSecretTokens are the words before "token" that never make it a Secret:
// pages of a listing, counts, and the vocabulary of language models.
var notSecretTokens = setOf("page", "next", "continue", "continuation", "starting", "pagination",
	"sync", "max", "min", "num", "n", "total", "count", "per", "eos", "bos", "pad", "unk", "sep", "cls",
	"stop", "special", "mask", "input", "output", "prompt", "completion", "cancellation", "cancel",
	"budget", "end", "start", "line")

// notSecretPasses are the words before "pass" that count passes.
var notSecretPasses = setOf("one", "two", "first", "second", "single", "multi", "by", "max", "min",
	"num", "n", "low", "high", "band", "render", "next", "ask")

// pathBegins are how a path of a file begins.
var pathBegins = []string{"./", "../", "~/", "/etc/", "/home/", "/root/", "/var/", "/run/", "/opt/",
	"/usr/", "/tmp/", "/mnt/", "/srv/", "/secrets/", "/app/", "/data/", "/dev/", "/proc/", "/Users/"}

func setOf(words ...string) map[string]bool {
	set := make(map[string]bool, len(words))
	for _, w := range words {
		set[w] = true
	}
	return set
}
