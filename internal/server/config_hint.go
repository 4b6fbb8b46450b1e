package server

import (
	"maps"
	"slices"
	"strings"
)

// hint names the key or section that a name of nobody's may have been meant for.
func (f *fileReader) hint(path string) string {
	near, best := "", 1+max(2, min(len(path), shownCharsMax)/4)
	known := slices.Concat(slices.Collect(maps.Keys(f.keys)), slices.Collect(maps.Keys(f.sections)))
	slices.Sort(known)
	for _, name := range known {
		if d := distance(path, name); d < best {
			near, best = name, d
		}
	}
	if near == "" {
		return ""
	}
	return ": did you mean " + near + "?"
}

// distance is how many letters must be put in, left out or changed to make b of
// a. What is longer than any name of ours is far from all of them.
func distance(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	if len(a) > shownCharsMax {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			diagonal = row[j+1]
			row[j+1] = min(changed, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
