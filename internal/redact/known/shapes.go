package known

import "strings"

// A Shape is a form that the tokens of one issuer have: a prefix that nothing
// else has, and then random characters.
type Shape struct {
	Prefix string
	// Chars are the characters that may follow.
	Chars func(c byte) bool
	// CharsMin is how many of them there are at least.
	CharsMin int
	// Glued shapes are found in the middle of a word too.
	Glued bool
}

// ShapesFrom returns the shapes that begin with c.
func ShapesFrom(c byte) []Shape {
	if c >= 128 {
		return nil
	}
	return shapesByFirst[c]
}

// PEMBase64 is how every PEM begins in base64.
const PEMBase64 = "LS0tLS1CRUdJTi"

// MayBegin reports whether something that is known by its shape, alone or with a
// word before it, may begin with two bytes.
func MayBegin(first, second byte) bool { return secondOfShape[first][second] }

// MayBeginWith reports the same of one byte.
func MayBeginWith(first byte) bool { return beginsShape[first] }

var shapes = []Shape{
	// Our own.
	{"sp_org_", isAlnum, 16, true},
	{"sp_ws_", isAlnum, 16, true},
	{"sp_adm_", isAlnum, 16, true},
	{"sp_ses_", isAlnum, 16, true},
	// GitHub; the glued forms are exact, as ghs_ ends ordinary words too.
	{"ghp_", isTokenChar, 16, false}, {"ghp_", isAlnum, 30, true},
	{"gho_", isTokenChar, 16, false}, {"gho_", isAlnum, 30, true},
	{"ghu_", isTokenChar, 16, false}, {"ghu_", isAlnum, 30, true},
	{"ghs_", isTokenChar, 16, false}, {"ghs_", isAlnum, 30, true},
	{"ghr_", isTokenChar, 16, false}, {"ghr_", isAlnum, 30, true},
	{"github_pat_", isTokenChar, 16, true},
	// GitLab.
	{"glpat-", isTokenChar, 16, true}, {"gldt-", isTokenChar, 16, false},
	{"glrt-", isTokenChar, 16, false}, {"glptt-", isTokenChar, 16, false},
	{"glcbt-", isTokenChar, 16, false}, {"glsoat-", isTokenChar, 16, false},
	{"glagent-", isTokenChar, 16, false}, {"glft-", isTokenChar, 16, false},
	// Slack.
	{"xoxa-", isTokenChar, 10, true}, {"xoxb-", isTokenChar, 10, true},
	{"xoxe-", isTokenChar, 10, true}, {"xoxo-", isTokenChar, 10, true},
	{"xoxp-", isTokenChar, 10, true}, {"xoxr-", isTokenChar, 10, true},
	{"xoxs-", isTokenChar, 10, true}, {"xapp-", isTokenChar, 16, false},
	{"hooks.slack.com/services/", isPathChar, 16, true},
	// Clouds.
	{"AKIA", isUpperAlnum, 16, false}, {"ASIA", isUpperAlnum, 16, false},
	{"AIza", isTokenChar, 30, true}, {"ya29.", isTokenChar, 16, false},
	{"dop_v1_", isAlnum, 16, false}, {"doo_v1_", isAlnum, 16, false},
	{"dor_v1_", isAlnum, 16, false}, {"tskey-", isTokenChar, 16, false},
	// Models.
	{"sk-", isTokenChar, 16, false}, {"hf_", isAlnum, 20, false},
	{"xai-", isTokenChar, 24, false}, {"gsk_", isAlnum, 24, false}, {"r8_", isAlnum, 24, false},
	// Registries, payments, mail, secrets, work.
	{"npm_", isAlnum, 20, false}, {"pypi-AgE", isTokenChar, 16, false},
	{"rubygems_", isAlnum, 24, false}, {"dckr_pat_", isTokenChar, 16, false},
	{"dckr_oat_", isTokenChar, 16, false},
	{"sk_live_", isAlnum, 10, true}, {"sk_test_", isAlnum, 10, true},
	{"rk_live_", isAlnum, 10, true}, {"rk_test_", isAlnum, 10, true}, {"whsec_", isBase64, 16, false},
	{"SG.", isTokenChar, 40, false}, {"hvs.", isTokenChar, 20, false},
	{"hvb.", isTokenChar, 20, false}, {"hvr.", isTokenChar, 20, false},
	{"AGE-SECRET-KEY-1", isUpperAlnum, 20, true}, {"shpat_", isAlnum, 20, false},
	{"shpss_", isAlnum, 20, false}, {"shpca_", isAlnum, 20, false}, {"shppa_", isAlnum, 20, false},
	{"lin_api_", isAlnum, 20, false}, {"sntrys_", isBase64, 20, false},
	{"figd_", isTokenChar, 20, false}, {"ATATT3", isTokenChar, 20, false},
	{"api.telegram.org/bot", isBotChar, 20, true},
}

// shapesByFirst finds the shapes that begin with a byte.
var shapesByFirst = func() (by [128][]Shape) {
	for _, s := range shapes {
		by[s.Prefix[0]] = append(by[s.Prefix[0]], s)
	}
	return by
}()

var beginsShape, secondOfShape = func() (first [256]bool, second [256][256]bool) {
	// A JWT, PEM in base64, and "Bearer" have no entry in shapes.
	prefixes := []string{"eyJ", PEMBase64, "bearer", "Bearer", "BEARER", "bEARER"}
	for _, s := range shapes {
		prefixes = append(prefixes, s.Prefix)
	}
	for _, p := range prefixes {
		first[p[0]] = true
		second[p[0]][p[1]] = true
	}
	return first, second
}()

func isUpperAlnum(c byte) bool { return isUpper(c) || isDigit(c) }
func isTokenChar(c byte) bool  { return isNameChar(c) }
func isBase64(c byte) bool     { return isAlnum(c) || strings.IndexByte("+/=-_", c) >= 0 }
func isPathChar(c byte) bool   { return isNameChar(c) || c == '/' }
func isBotChar(c byte) bool    { return isNameChar(c) || c == ':' }
