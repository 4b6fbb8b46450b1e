package eicsim

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	timeLayout = "20060102T150405Z"
	// skewMax is how far from the simulator's clock a request may have been signed.
	skewMax = 5 * time.Minute
	// presignedSeconds is what X-Amz-Expires of a tunnel's URL must be.
	presignedSeconds = 60
)

// claim is what a request says of its signature.
type claim struct {
	accessKey, day, region, service string
	signedHeaders                   []string
	signature, token                string
	at                              string // as timeLayout has it
	time                            time.Time
}

// scope is what a key is derived for.
func (c *claim) scope() string {
	return strings.Join([]string{c.day, c.region, c.service, "aws4_request"}, "/")
}

// parseCredential reads AKID/DAY/REGION/SERVICE/aws4_request, and the time.
func (c *claim) parseCredential(credential, at string) error {
	parts := strings.Split(credential, "/")
	if len(parts) != 5 || parts[4] != "aws4_request" {
		return fmt.Errorf("%q is no credential with its scope", credential)
	}
	c.accessKey, c.day, c.region, c.service, c.at = parts[0], parts[1], parts[2], parts[3], at
	var err error
	if c.time, err = time.Parse(timeLayout, at); err != nil {
		return fmt.Errorf("X-Amz-Date: %w", err)
	}
	if !strings.HasPrefix(at, c.day) {
		return errors.New("the scope's day isn't that of X-Amz-Date")
	}
	return nil
}

// headerClaim reads the claim of an Authorization header.
func headerClaim(r *http.Request) (*claim, error) {
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), algorithm+" ")
	if !ok {
		return nil, errors.New("the header Authorization isn't of " + algorithm)
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	c := &claim{
		signature: fields["Signature"], token: r.Header.Get("X-Amz-Security-Token"),
		signedHeaders: strings.Split(fields["SignedHeaders"], ";"),
	}
	if err := c.parseCredential(fields["Credential"], r.Header.Get("X-Amz-Date")); err != nil {
		return nil, err
	}
	if !slices.Contains(c.signedHeaders, "host") {
		return nil, errors.New("host isn't signed")
	}
	for name := range r.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") && !slices.Contains(c.signedHeaders, lower) {
			return nil, fmt.Errorf("%s isn't signed", lower)
		}
	}
	return c, nil
}

// queryClaim reads the claim of a presigned URL of a tunnel. The query must be
// canonical as it stands; what is returned is what was signed of it.
func queryClaim(raw string) (*claim, string, error) {
	pairs, err := parseQuery(raw)
	if err != nil {
		return nil, "", err
	}
	values := map[string]string{}
	for _, p := range pairs {
		if _, twice := values[p.name]; twice {
			return nil, "", fmt.Errorf("%s stands in the query twice", p.name)
		}
		values[p.name] = p.value
	}
	signature := values["X-Amz-Signature"]
	rest := slices.DeleteFunc(strings.Split(raw, "&"), func(p string) bool { return strings.HasPrefix(p, "X-Amz-Signature=") })
	signed := canonicalQuery(slices.DeleteFunc(pairs, func(p pair) bool { return p.name == "X-Amz-Signature" }))
	if got := strings.Join(rest, "&"); got != signed {
		return nil, "", fmt.Errorf("the query is not canonical: %s, which is %s", got, signed)
	}
	for name, want := range map[string]string{
		"X-Amz-Algorithm": algorithm, "X-Amz-SignedHeaders": "host", "X-Amz-Expires": strconv.Itoa(presignedSeconds),
	} {
		if values[name] != want {
			return nil, "", fmt.Errorf("%s is %q, not %s", name, values[name], want)
		}
	}
	c := &claim{signature: signature, token: values["X-Amz-Security-Token"], signedHeaders: []string{"host"}}
	if err := c.parseCredential(values["X-Amz-Credential"], values["X-Amz-Date"]); err != nil {
		return nil, "", err
	}
	return c, signed, nil
}

// canonicalRequest is the text whose hash is signed.
func canonicalRequest(r *http.Request, query string, signedHeaders []string, body []byte) string {
	lines := []string{r.Method, encode(r.URL.EscapedPath(), true), query}
	for _, name := range signedHeaders {
		lines = append(lines, name+":"+headerValue(r, name))
	}
	return strings.Join(append(lines, "", strings.Join(signedHeaders, ";"), hashOf(body)), "\n")
}

// headerValue is a header as it is signed. net/http keeps two apart from the others.
func headerValue(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10)
	}
	var values []string
	for _, value := range r.Header.Values(name) {
		values = append(values, strings.Join(strings.Fields(value), " "))
	}
	return strings.Join(values, ",")
}

// isSigned computes the signature of a canonical request again.
func (c *claim) isSigned(secret, canonical string) bool {
	text := strings.Join([]string{algorithm, c.at, c.scope(), hashOf([]byte(canonical))}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{c.day, c.region, c.service, "aws4_request"} {
		key = hmacOf(key, part)
	}
	want := hex.EncodeToString(hmacOf(key, text))
	return subtle.ConstantTimeCompare([]byte(want), []byte(c.signature)) == 1
}

func hmacOf(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// pair is a parameter of a query, decoded.
type pair struct{ name, value string }

// parseQuery decodes a query. A plus is a plus: RFC 3986 knows no other.
func parseQuery(raw string) ([]pair, error) {
	var pairs []pair
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		var p pair
		var err error
		if p.name, err = url.PathUnescape(name); err == nil {
			p.value, err = url.PathUnescape(value)
		}
		if err != nil {
			return nil, fmt.Errorf("decode the query: %w", err)
		}
		pairs = append(pairs, p)
	}
	return pairs, nil
}

// canonicalQuery encodes first and sorts afterwards, by byte.
func canonicalQuery(pairs []pair) string {
	encoded := make([]pair, len(pairs))
	for i, p := range pairs {
		encoded[i] = pair{encode(p.name, false), encode(p.value, false)}
	}
	slices.SortFunc(encoded, func(a, b pair) int {
		if order := strings.Compare(a.name, b.name); order != 0 {
			return order
		}
		return strings.Compare(a.value, b.value)
	})
	parts := make([]string, len(encoded))
	for i, p := range encoded {
		parts[i] = p.name + "=" + p.value
	}
	return strings.Join(parts, "&")
}

// encode escapes all but RFC 3986's unreserved characters, and slashes in a path.
func encode(text string, isPath bool) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~", c) >= 0, isPath && c == '/':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
