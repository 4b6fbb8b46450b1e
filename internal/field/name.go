// Package field says what the fields of records may hold that callers write: each check
// returns the contract's error for its field, or nil.
package field

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/limits"
)

// CheckName checks the name of an organisation or a workspace. It returns invalid_name.
func CheckName(name string) error {
	if !isName(name) {
		return sallyport.Errorf(sallyport.CodeInvalidName,
			"name must be 1 to %d characters of a-z, 0-9 and -, begin with a letter or digit, and not look like an id; for example build-42", limits.NameCharsMax)
	}
	return nil
}

func isName(s string) bool {
	return len(s) >= 1 && len(s) <= limits.NameCharsMax && s[0] != '-' &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && !id.Is(s)
}

// IsRef tells whether s can name a record at all.
func IsRef(s string) bool { return isName(s) || id.Is(s) }

func checkTokenName(name string) error {
	if n := utf8.RuneCountInString(name); n < 1 || n > limits.TokenNameCharsMax || !isText(name) {
		return sallyport.Errorf(sallyport.CodeInvalidName,
			"name must be 1 to %d characters without control characters; for example ci-deploy", limits.TokenNameCharsMax)
	}
	return nil
}

// CheckTier returns invalid_tier.
func CheckTier(tier int) error {
	if tier < sallyport.TierSandboxed || tier > sallyport.TierFullHost {
		return sallyport.Errorf(sallyport.CodeInvalidTier,
			"tier must be 1 (sandboxed), 2 (standard), 3 (privileged) or 4 (full host access)")
	}
	return nil
}

// CheckLabels returns invalid_labels.
func CheckLabels(labels map[string]string) error {
	if len(labels) > limits.LabelsMax {
		return sallyport.Errorf(sallyport.CodeInvalidLabels, "at most %d labels are allowed", limits.LabelsMax)
	}
	for key, value := range labels {
		if key == "" || len(key) > limits.LabelKeyBytesMax || len(value) > limits.LabelBytesMax || !isText(key) || !isText(value) {
			return sallyport.Errorf(sallyport.CodeInvalidLabels,
				"a label's name takes 1 to %d bytes and its value at most %d, without control characters", limits.LabelKeyBytesMax, limits.LabelBytesMax)
		}
	}
	return nil
}

func isText(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}
