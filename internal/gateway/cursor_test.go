package gateway_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sallyport/client/sallyport"
	"sallyport/internal/gateway"
)

// FuzzCursor: what wasn't given out as a cursor is none.
func FuzzCursor(f *testing.F) {
	w := newWorld(f)
	w.org(f, "a")
	w.org(f, "b")
	list, err := w.ListOrgs(f.Context(), w.admin, gateway.PageRequest{Limit: 1})
	must(f, err)
	good := list.NextCursor
	raw, err := base64.RawURLEncoding.DecodeString(good)
	must(f, err)
	for _, s := range []string{
		good, good + "=", good + "A", good[1:], strings.ToUpper(good), "", " ", "0", "-1", "null", "é", "\x00", "AAAAAAAAAAAAAAAAAAAAAA", good + good,
		base64.StdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw[:8]),
	} {
		f.Add(s)
	}
	for i := range raw { // of one bit another
		changed := slices.Clone(raw)
		changed[i] ^= 1
		f.Add(base64.RawURLEncoding.EncodeToString(changed))
	}
	for _, c := range "ABQRghwx" { // the bits that the last letter has too many
		f.Add(good[:len(good)-1] + string(c))
	}
	ctx := context.Background()
	f.Fuzz(func(t *testing.T, s string) {
		list, err := w.ListOrgs(ctx, w.admin, gateway.PageRequest{Limit: 1, Cursor: s})
		switch {
		case s == "": // the beginning
			wantCode(t, "no cursor", err, "")
		case strings.NewReplacer("\r", "", "\n", "").Replace(s) == good: // base64 knows no line breaks
			if err != nil || len(list.Items) != 1 || list.Items[0].Name != "b" {
				t.Errorf("%q: %+v, %v", s, list, err)
			}
		default:
			wantCode(t, fmt.Sprintf("%q", s), err, sallyport.CodeInvalidCursor)
		}
	})
}
