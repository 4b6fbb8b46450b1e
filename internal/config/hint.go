package config

import (
	"maps"
	"slices"

	"sallyport/internal/spelling"
)

// hint names the key or section that an unknown name may have been meant for.
func (f *fileReader) hint(path string) string {
	known := slices.Concat(slices.Collect(maps.Keys(f.keys)), slices.Collect(maps.Keys(f.sections)))
	slices.Sort(known)
	if near := spelling.Nearest(path, known); near != "" {
		return ": did you mean " + near + "?"
	}
	return ""
}
