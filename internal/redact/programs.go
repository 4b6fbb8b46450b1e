package redact

import (
	"slices"
	"strings"
)

// A program is what is known of a program's short flags. Long flags whose name
// tells that they hold a secret need no entry.
type program struct {
	// secrets are the letters of short flags whose value is a secret.
	secrets string
	// attached secrets hold one only in the same word: mysql -pX.
	attached bool
	// pairs are the letters whose value is user, separator, secret.
	pairs     string
	separator byte
	// values are the other letters that take a value, which ends a cluster.
	values string
	// longs are flags, without dashes, whose next word is a secret, though
	// their name doesn't tell.
	longs []string
	// longPairs are flags, without dashes, that hold pairs.
	longPairs []string
	// prefixes are the beginnings of words that are otherwise a secret.
	prefixes []string
	// words are arguments that have a secret after them.
	words []string
	// subcommand is the word after which alone the flags mean this.
	subcommand string
	// stops tells that the flags end at the first argument.
	stops bool
}

// find masks the secrets in the program's arguments, from the word i on.
func (p program) find(c *command, i int) {
	if p.subcommand != "" {
		at := slices.Index(c.words[i:], p.subcommand)
		if at < 0 {
			return
		}
		i += at + 1
	}
	for ; i < len(c.words); i++ {
		w := c.words[i]
		switch {
		case p.prefixed(c, i):
		case len(w) < 2 || w[0] != '-':
			if p.stops {
				return
			}
			if slices.Contains(p.words, w) && i+1 < len(c.words) && !strings.HasPrefix(c.words[i+1], "-") {
				c.mask(i+1, 0)
			}
		case p.long(c, i):
		case w[1] != '-':
			i = p.cluster(c, i)
		}
	}
}

// prefixed masks the rest of the word i when it begins as a secret does.
func (p program) prefixed(c *command, i int) bool {
	for _, prefix := range p.prefixes {
		if strings.HasPrefix(c.words[i], prefix) {
			c.mask(i, len(prefix))
			return true
		}
	}
	return false
}

// long masks what the long flag at i holds.
func (p program) long(c *command, i int) bool {
	name, _, assigned := strings.Cut(strings.TrimPrefix(c.words[i][1:], "-"), "=")
	switch {
	case slices.Contains(p.longs, name):
		p.value(c, i, len(c.words[i])-len(strings.TrimLeft(c.words[i], "-"))+len(name)+1, assigned, c.mask)
	case slices.Contains(p.longPairs, name):
		p.value(c, i, len(c.words[i])-len(strings.TrimLeft(c.words[i], "-"))+len(name)+1, assigned, p.maskPair(c))
	default:
		return false
	}
	return true
}

// value masks a flag's value, from the byte from on or in the next word.
func (p program) value(c *command, i, from int, here bool, mask func(i, from int)) {
	if here {
		mask(i, from)
	} else if i+1 < len(c.words) && !isFlag(c.words[i+1]) && !isPorts(c.words[i+1]) {
		mask(i+1, 0)
	}
}

// maskPair returns what masks the secret of a pair.
func (p program) maskPair(c *command) func(i, from int) {
	return func(i, from int) {
		f, t := userinfo(c.words[i][from:], p.separator, false)
		if f < t {
			c.hits = append(c.hits, hit{i, span{from + f, from + t}})
		}
	}
}

// cluster masks what the short flags at i hold, and returns the last word that
// belongs to them.
func (p program) cluster(c *command, i int) int {
	w := c.words[i]
	for k := 1; k < len(w); k++ {
		here := k+1 < len(w)
		next := i
		if !here {
			next++
		}
		switch {
		case strings.IndexByte(p.secrets, w[k]) >= 0:
			if here || !p.attached {
				p.value(c, i, k+1, here, c.mask)
				return next
			}
			return i
		case strings.IndexByte(p.pairs, w[k]) >= 0:
			p.value(c, i, k+1, here, p.maskPair(c))
			return next
		case strings.IndexByte(p.values, w[k]) >= 0:
			return next
		}
	}
	return i
}

var (
	mysqlFlags     = program{secrets: "p", attached: true, values: "uhPDSeR", words: []string{"password"}}
	mongoFlags     = program{secrets: "p", values: "uhdcqof"}
	loginFlags     = program{secrets: "p", values: "u", subcommand: "login"}
	redisFlags     = program{secrets: "a", values: "hpsnurid", words: []string{"auth", "AUTH"}}
	ldapFlags      = program{secrets: "w", values: "DHbyfSzPdeolpYXU"}
	ldapPasswd     = program{secrets: "wsa", values: "DHyfPdeolpYXU"}
	sambaFlags     = program{pairs: "U", separator: '%', longPairs: []string{"user"}, values: "IpRMnLOiTDcbAWs"}
	sqlcmdFlags    = program{secrets: "P", values: "USdiohrqtwvls"}
	zipFlags       = program{secrets: "P", values: "bntixO"}
	sevenFlags     = program{prefixes: []string{"-p"}}
	rarFlags       = program{prefixes: []string{"-hp", "-p"}}
	puttyFlags     = program{longs: []string{"pw"}}
	snmpFlags      = program{secrets: "AXc", values: "vlualxnetrCmMO"}
	userFlags      = program{secrets: "p", values: "bcdefgGkKosu"}
	mosquittoFlags = program{secrets: "P", values: "hputmfiqkVTCFRWAL"}
	httpieFlags    = program{pairs: "a", separator: ':', longPairs: []string{"auth"}, values: "oAs"}
)

// programs are the well-known ones, by name.
var programs = map[string]program{
	"mysql": mysqlFlags, "mysqldump": mysqlFlags, "mysqladmin": mysqlFlags, "mysqlimport": mysqlFlags,
	"mysqlshow": mysqlFlags, "mysqlcheck": mysqlFlags, "mysqlslap": mysqlFlags, "mysqlpump": mysqlFlags,
	"mysqlbinlog": mysqlFlags, "mysqlsh": mysqlFlags, "mycli": mysqlFlags, "xtrabackup": mysqlFlags,
	"mariadb": mysqlFlags, "mariadb-dump": mysqlFlags, "mariadb-admin": mysqlFlags,
	"mariadb-import": mysqlFlags, "mariadb-show": mysqlFlags, "mariadb-check": mysqlFlags,
	"mariadb-binlog": mysqlFlags, "mariadb-slap": mysqlFlags, "mariabackup": mysqlFlags,

	"mongo": mongoFlags, "mongosh": mongoFlags, "mongodump": mongoFlags, "mongorestore": mongoFlags,
	"mongoexport": mongoFlags, "mongoimport": mongoFlags, "mongostat": mongoFlags, "mongotop": mongoFlags,
	"mongofiles": mongoFlags,

	"redis-cli": redisFlags, "valkey-cli": redisFlags, "keydb-cli": redisFlags, "redis-benchmark": redisFlags,

	"sqlcmd": sqlcmdFlags, "bcp": sqlcmdFlags, "osql": sqlcmdFlags, "isql": sqlcmdFlags, "tsql": sqlcmdFlags,
	"cqlsh": {secrets: "p", values: "uek"}, "beeline": {secrets: "p", values: "unde"},
	"rabbitmqadmin": {secrets: "p", values: "uHPV"},

	"ldapsearch": ldapFlags, "ldapadd": ldapFlags, "ldapmodify": ldapFlags, "ldapdelete": ldapFlags,
	"ldapwhoami": ldapFlags, "ldapcompare": ldapFlags, "ldapmodrdn": ldapFlags, "ldappasswd": ldapPasswd,

	"smbclient": sambaFlags, "rpcclient": sambaFlags, "smbget": sambaFlags, "smbcacls": sambaFlags,
	"smbtree": sambaFlags, "winexe": sambaFlags, "net": sambaFlags, "wmic": sambaFlags,

	"docker": loginFlags, "podman": loginFlags, "nerdctl": loginFlags, "buildah": loginFlags,
	"helm": loginFlags, "skopeo": loginFlags, "crane": loginFlags, "oras": loginFlags, "az": loginFlags,
	"cf": loginFlags, "oc": loginFlags, "argocd": {subcommand: "login"},
	"vault": {words: []string{"login"}}, "bao": {words: []string{"login"}},
	"gh": {secrets: "b", longs: []string{"body"}, values: "aeorv", subcommand: "secret"},
	// A line of .netrc reads as a program.
	"machine": {words: []string{"password"}},
	"nmcli":   {words: []string{"password", "wifi-sec.psk", "802-11-wireless-security.psk"}},

	"zip": zipFlags, "unzip": {secrets: "P", values: "dx"}, "zipcloak": zipFlags, "zipnote": zipFlags,
	"7z": sevenFlags, "7za": sevenFlags, "7zr": sevenFlags, "7zz": sevenFlags, "p7zip": sevenFlags,
	"rar": rarFlags, "unrar": rarFlags,

	"curl": {pairs: "uUE", separator: ':', values: "AbcCdDeFHhKmoPQrtTwxXYyz",
		longPairs: []string{"user", "proxy-user", "cert", "proxy-cert"},
		longs:     []string{"tlspassword", "pass", "proxy-pass"}},
	"wget": {values: "oaeiOtTwQPUBlADIX"},
	"http": httpieFlags, "https": httpieFlags, "xh": httpieFlags, "xhs": httpieFlags,
	"lftp": {pairs: "u", separator: ',', longPairs: []string{"user"}, values: "pe"},

	"sshpass": {secrets: "p", values: "fdP", stops: true},
	"plink":   puttyFlags, "pscp": puttyFlags, "psftp": puttyFlags, "putty": puttyFlags,
	"openssl": {longs: []string{"k", "K", "hmac"}},

	"xfreerdp": {prefixes: []string{"/p:", "/gp:", "/pth:"}}, "wfreerdp": {prefixes: []string{"/p:", "/gp:"}},
	"ssh-keygen": {secrets: "NP", values: "tbCfFImOYsaDEHiJjKLMnRrSTUVWwz"},
	"twine":      {secrets: "p", values: "ru"}, "doctl": {secrets: "t"}, "fly": {secrets: "t"}, "flyctl": {secrets: "t"},
	"p4": {secrets: "P", values: "upcCdHQrxL"}, "ab": {pairs: "AP", separator: ':', values: "nctsbpuTviwxyzCHXgeZf"},
	"mosquitto_pub": mosquittoFlags, "mosquitto_sub": mosquittoFlags, "mosquitto_rr": mosquittoFlags,
	"swaks": {longs: []string{"ap"}}, "etcdctl": {separator: ':', longPairs: []string{"user"}},
	"ansible-vault": {words: []string{"encrypt_string"}},

	"ipmitool": {secrets: "Pk", values: "HUILCKEfNRtpog"},
	"snmpwalk": snmpFlags, "snmpget": snmpFlags, "snmpset": snmpFlags, "snmpbulkwalk": snmpFlags,
	"snmpgetnext": snmpFlags, "snmptrap": snmpFlags,
	"useradd": userFlags, "usermod": userFlags,
	"rdesktop": {secrets: "p", values: "udsScnkgtaxrT"},
}
