// Package spelling finds the word that was meant by one that nobody knows.
package spelling

import (
	"strings"

	"github.com/agext/levenshtein"
)

// wordCharsMax bounds the words that are looked at: no name of ours is longer.
const wordCharsMax = 100

// Nearest returns the known word that word was most likely meant to be, or "" where none
// is like it. Capitals don't count. One letter is like everything, and so like nothing.
func Nearest(word string, known []string) string {
	word = strings.ToLower(word)
	if len(word) < 2 || len(word) > wordCharsMax {
		return ""
	}
	near, best := "", 1+max(2, len(word)/3)
	for _, k := range known {
		// Two words with nothing in common are as far apart as they are long.
		if d := distance(word, k); d < best && d < max(len(word), len(k)) {
			near, best = k, d
		}
	}
	return near
}

// distance is how many letters must be put in, left out or changed. A word that was
// begun is near to what it begins, and the end of a name with dots to the name.
func distance(word, known string) int {
	if strings.HasPrefix(known, word) || strings.HasSuffix(known, "."+word) {
		return 1
	}
	return levenshtein.Distance(word, known, nil)
}
