package redact

import (
	"slices"
	"strings"
)

// specials find the secrets of programs that take them in ways of their own;
// i is the first argument.
var specials = map[string]func(c *command, i int){
	"curl":        curlSecrets,
	"wget":        curlSecrets,
	"htpasswd":    htpasswdSecrets,
	"openssl":     opensslSecrets,
	"smbclient":   smbclientSecrets,
	"sqlplus":     oracleSecrets,
	"sqlldr":      oracleSecrets,
	"rman":        oracleSecrets,
	"expdp":       oracleSecrets,
	"impdp":       oracleSecrets,
	"rabbitmqctl": rabbitmqctlSecrets,
	"chpasswd":    chpasswdSecrets,
	"kubectl":     literalSecrets,
	"oc":          literalSecrets,
	"vault":       storeSecrets,
	"bao":         storeSecrets,
	"fly":         storeSecrets,
	"flyctl":      storeSecrets,
	"doppler":     storeSecrets,
	"mc":          minioSecrets,
	"aws":         awsSecrets,
	"git":         setSecrets,
	"npm":         setSecrets,
	"yarn":        setSecrets,
	"pnpm":        setSecrets,
	"redis-cli":   setSecrets,
	"valkey-cli":  setSecrets,
	"pip":         setSecrets,
	"gcloud":      setSecrets,
	"pulumi":      setSecrets,
	"poetry":      setSecrets,
}

// curlSecrets masks cookies, headers without a blank, and user:password@host
// without a scheme.
func curlSecrets(c *command, i int) {
	for ; i < len(c.words); i++ {
		switch before, w := c.words[i-1], c.words[i]; {
		case (before == "-b" || before == "--cookie") && strings.Contains(w, "="):
			c.mask(i, 0)
		case strings.HasPrefix(w, "-b") && strings.Contains(w, "="):
			c.mask(i, len("-b"))
		case before == "-H" || before == "--header":
			name, value, _ := strings.Cut(w, ":")
			if kindOf(name, formHeader).holds(value) && !strings.HasPrefix(value, " ") {
				c.mask(i, len(name)+1)
			}
		case !strings.HasPrefix(w, "-") && !strings.Contains(w, "://"):
			authority, _, _ := strings.Cut(w, "/")
			at := strings.LastIndexByte(authority, '@')
			if colon := strings.IndexByte(authority, ':'); 0 < colon && colon+1 < at {
				c.hits = append(c.hits, hit{i, span{colon + 1, at}})
			}
		}
	}
}

// htpasswdSecrets masks the last argument of htpasswd -b: its password.
func htpasswdSecrets(c *command, i int) {
	batch, last := false, 0
	for ; i < len(c.words); i++ {
		w := c.words[i]
		switch {
		case len(w) < 2 || w[0] != '-':
			last = i
		case w[1] != '-' && strings.Contains(w, "b"):
			batch = true
		case w == "-C" || w == "-r":
			i++
		}
	}
	if batch && last > 0 {
		c.mask(last, 0)
	}
}

// opensslSecrets masks pass:X wherever it stands, keys of -macopt, and what
// openssl passwd hashes.
func opensslSecrets(c *command, i int) {
	hashes := i < len(c.words) && c.words[i] == "passwd"
	for ; i < len(c.words); i++ {
		w := c.words[i]
		for _, prefix := range []string{"pass:", "key:", "hexkey:"} {
			if strings.HasPrefix(w, prefix) {
				c.mask(i, len(prefix))
			}
		}
		before := c.words[i-1]
		isPassword := !strings.HasPrefix(w, "-") && w != "passwd" && before != "-in" && before != "-salt"
		if hashes && isPassword {
			c.mask(i, 0)
		}
	}
}

// smbclientSecrets masks the second argument: smbclient //host/share X.
func smbclientSecrets(c *command, i int) {
	if i+1 < len(c.words) && strings.HasPrefix(c.words[i], "//") && !strings.HasPrefix(c.words[i+1], "-") {
		c.mask(i+1, 0)
	}
}

// oracleSecrets masks the password in user/password@database.
func oracleSecrets(c *command, i int) {
	for ; i < len(c.words); i++ {
		w := c.words[i]
		slash := strings.IndexByte(w, '/')
		if slash <= 0 || strings.ContainsAny(w[:1], "-@") {
			continue
		}
		end := len(w)
		if at := strings.LastIndexByte(w, '@'); at > slash {
			end = at
		}
		c.hits = append(c.hits, hit{i, span{slash + 1, end}})
		return
	}
}

// rabbitmqctlSecrets masks the password after a subcommand and a user.
func rabbitmqctlSecrets(c *command, i int) {
	for ; i < len(c.words); i++ {
		switch c.words[i] {
		case "add_user", "change_password", "authenticate_user":
			c.mask(i+2, 0)
			return
		}
	}
}

// chpasswdSecrets masks what is redirected to chpasswd: user:X.
func chpasswdSecrets(c *command, i int) {
	for ; i < len(c.words); i++ {
		if colon := strings.IndexByte(c.words[i], ':'); colon > 0 {
			c.mask(i, colon+1)
		}
	}
}

// setSecrets masks the value that follows a secret's name in a configuration
// command: aws configure set aws_secret_access_key X.
func setSecrets(c *command, i int) {
	sets := false
	for ; i+1 < len(c.words); i++ {
		switch w := c.words[i]; {
		case w == "set" || w == "SET" || w == "config":
			sets = true
		case !sets || strings.HasPrefix(w, "-"):
		default:
			name := w[strings.LastIndexByte(w, ':')+1:]
			if kind := kindOf(name, formAssigned); kind.holds(c.words[i+1]) && !isFlag(c.words[i+1]) {
				c.mask(i+1, 0)
				return
			}
		}
	}
}

// awsSecrets masks the value of a secure parameter too.
func awsSecrets(c *command, i int) {
	setSecrets(c, i)
	if !slices.Contains(c.words[i:], "SecureString") {
		return
	}
	for ; i+1 < len(c.words); i++ {
		if c.words[i] == "--value" {
			c.mask(i+1, 0)
		}
	}
}

// literalSecrets masks all members of a secret that is created:
// kubectl create secret generic x --from-literal=name=X.
func literalSecrets(c *command, i int) {
	const flag = "--from-literal"
	if !slices.Contains(c.words[i:], "secret") {
		return
	}
	for ; i < len(c.words); i++ {
		member, ok := strings.CutPrefix(c.words[i], flag+"=")
		if !ok && c.words[i-1] != flag {
			continue
		}
		if _, value, ok := strings.Cut(member, "="); ok {
			c.mask(i, len(c.words[i])-len(value))
		}
	}
}

// storeSecrets masks all values that are put into a store of secrets, unless
// they are read from a file: vault kv put secret/x name=X.
func storeSecrets(c *command, i int) {
	puts := false
	for ; i < len(c.words); i++ {
		switch w := c.words[i]; w {
		case "put", "write", "patch", "set", "import":
			puts = true
		default:
			_, value, ok := strings.Cut(w, "=")
			if ok && puts && !strings.HasPrefix(w, "-") && !strings.HasPrefix(value, "@") {
				c.mask(i, len(w)-len(value))
			}
		}
	}
}

// minioSecrets masks the keys of mc alias set NAME URL ACCESS SECRET.
func minioSecrets(c *command, i int) {
	const keysAfter = 4
	if i+1 < len(c.words) && (c.words[i] == "alias" || c.words[i] == "config") {
		if c.words[i] == "config" {
			i++
		}
		for k := i + keysAfter; k < min(i+keysAfter+2, len(c.words)); k++ {
			if !isFlag(c.words[k]) {
				c.mask(k, 0)
			}
		}
	}
}
