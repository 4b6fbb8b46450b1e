package keys_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sallyport/internal/keys"
)

func newSealer(t testing.TB, texts ...[]byte) *keys.Sealer {
	t.Helper()
	s, err := keys.ReadSeal(bytes.Join(texts, nil))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What is sealed can be opened for its own purpose with its own key, as it was, and
// in no other way.
func TestSeal(t *testing.T) {
	seal, other := newSealer(t, keys.NewSeal()), newSealer(t, keys.NewSeal())
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.SliceOf(rapid.Byte()).Draw(t, "secret")
		purpose := rapid.String().Draw(t, "purpose")
		sealed := seal.Seal(purpose, secret)
		if opened, err := seal.Open(purpose, sealed); err != nil || !bytes.Equal(opened, secret) {
			t.Fatalf("opened as %q, %v", opened, err)
		}
		if len(secret) > 3 && bytes.Contains(sealed, secret) {
			t.Fatalf("%q stands in %q", secret, sealed)
		}
		if bytes.Equal(sealed, seal.Seal(purpose, secret)) {
			t.Fatal("sealed twice, it is the same")
		}
		wantClosed(t, other, purpose, sealed, keys.ErrSealKey)
		if another := rapid.String().Draw(t, "another purpose"); another != purpose {
			wantClosed(t, seal, another, sealed, keys.ErrSealBroken)
		}
		wantClosed(t, seal, purpose, sealed[:rapid.IntRange(0, len(sealed)-1).Draw(t, "length")], nil)
		wantClosed(t, seal, purpose, append(bytes.Clone(sealed), rapid.Byte().Draw(t, "more")), keys.ErrSealBroken)
		changed := bytes.Clone(sealed)
		changed[rapid.IntRange(0, len(sealed)-1).Draw(t, "at")] ^= byte(rapid.IntRange(1, 255).Draw(t, "by"))
		wantClosed(t, seal, purpose, changed, nil)
	})
}

// wantClosed demands the error want, or any of a seal's where it is nil.
func wantClosed(t interface{ Fatalf(string, ...any) }, seal *keys.Sealer, purpose string, sealed []byte, want error) {
	opened, err := seal.Open(purpose, sealed)
	isOurs := errors.Is(err, keys.ErrSealBroken) || errors.Is(err, keys.ErrSealKey) || errors.Is(err, keys.ErrSealVersion)
	if opened != nil || !isOurs || want != nil && !errors.Is(err, want) {
		t.Fatalf("opened as %q, %v; want %v", opened, err, want)
	}
}

// Each part of a sealed value counts, down to a bit of it.
func TestSealEveryByteCounts(t *testing.T) {
	seal := newSealer(t, keys.NewSeal())
	sealed := seal.Seal("workspace/1", []byte("secret"))
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		want := keys.ErrSealBroken
		if i == 0 {
			want = keys.ErrSealVersion
		} else if i <= 8 {
			want = keys.ErrSealKey
		}
		wantClosed(t, seal, "workspace/1", changed, want)
	}
	wantClosed(t, seal, "workspace/1", nil, keys.ErrSealBroken)
	wantClosed(t, seal, "workspace/1", sealed[:1], keys.ErrSealBroken)
}

// A new key above the old one seals, and the old one still opens; without it what it
// has sealed stays shut.
func TestSealRotation(t *testing.T) {
	before, next := keys.NewSeal(), keys.NewSeal()
	old, both, after := newSealer(t, before), newSealer(t, next, before), newSealer(t, next)
	sealed := old.Seal("x", []byte("secret"))
	if opened, err := both.Open("x", sealed); err != nil || string(opened) != "secret" {
		t.Errorf("opened as %q, %v", opened, err)
	}
	wantClosed(t, after, "x", sealed, keys.ErrSealKey)
	if both.IsCurrent(sealed) || !old.IsCurrent(sealed) || after.IsCurrent(sealed) || both.IsCurrent(nil) {
		t.Error("which key is current is not known")
	}
	anew := both.Seal("x", []byte("secret"))
	if opened, err := after.Open("x", anew); err != nil || string(opened) != "secret" || !both.IsCurrent(anew) {
		t.Errorf("opened as %q, %v", opened, err)
	}
}

func TestReadSeal(t *testing.T) {
	key := func() string {
		b := make([]byte, 32)
		_, _ = rand.Read(b)
		return base64.StdEncoding.EncodeToString(b)
	}
	good, form := key(), "a key is 32 bytes in base64, as `openssl rand -base64 32` prints them"
	for text, want := range map[string]string{
		good:                                  "",
		good + "\n":                           "",
		"# comment\r\n\r\n  " + good + "\r\n": "",
		good + "\n" + key() + "\n":            "",
		"":                                    "there is no key in it",
		"# " + good:                           "there is no key in it",
		good[:40]:                             "line 1: " + form,
		"\n" + good + good:                    "line 2: " + form,
		good[:42] + "B=":                      "line 1: " + form,
		strings.Repeat("0f", 32):              "line 1: " + form,
		good + " # mine":                      "line 1: " + form,
		good + "\n" + good:                    "line 2: the same key is above it already",
		strings.Repeat(good+"\n", 1) + manyKeys(key, 8): "it has more than 8 keys",
	} {
		_, err := keys.ReadSeal([]byte(text))
		if got := fmt.Sprint(err); got != want && !(err == nil && want == "") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), good[:10]) {
			t.Errorf("%v shows the key", err)
		}
	}
}

func manyKeys(key func() string, n int) string {
	text := ""
	for range n {
		text += key() + "\n"
	}
	return text
}

func FuzzOpen(f *testing.F) {
	seal := newSealer(f, keys.NewSeal())
	f.Add("workspace/1", seal.Seal("workspace/2", []byte("secret")))
	f.Add("", []byte{1})
	f.Fuzz(func(t *testing.T, purpose string, sealed []byte) {
		wantClosed(t, seal, purpose, sealed, nil)
	})
}
