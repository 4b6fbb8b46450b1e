package httpapi

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// optional is a member that may be missing, or null.
type optional[T any] struct {
	// given is also true for null.
	given, null bool
	value       T
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (o *optional[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	o.given = true
	if dec.PeekKind() == 'n' {
		o.null = true
		_, err := dec.ReadToken()
		return err
	}
	return json.UnmarshalDecode(dec, &o.value)
}

// is tells whether there is a value.
func (o *optional[T]) is() bool { return o.given && !o.null }

// merge applies the member to a value, as a JSON merge patch does (RFC 7396): null takes
// the value away.
func (o *optional[T]) merge(into *T) {
	if o.given {
		*into = o.value
	}
}

// wantError says what a member must be.
type wantError string

func (e wantError) Error() string { return "must be " + string(e) }

// integer is an integer, however large: one that doesn't fit is the largest or the smallest
// that does.
type integer int64

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (n *integer) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	const want = wantError("an integer, without a fraction or an exponent")
	if dec.PeekKind() != '0' {
		return refuse(dec, want)
	}
	v, err := dec.ReadValue()
	if err != nil {
		return err
	}
	if digits := strings.TrimPrefix(string(v), "-"); strings.Trim(digits, "0123456789") != "" {
		return want
	}
	// Out of range, ParseInt returns the nearest value that is in it.
	value, _ := strconv.ParseInt(string(v), 10, 64)
	*n = integer(value)
	return nil
}

// refuse returns why, unless what comes next is no JSON at all.
func refuse(dec *jsontext.Decoder, why error) error {
	if dec.PeekKind() == 0 {
		_, err := dec.ReadToken()
		return err
	}
	return why
}

// eachString reads an array of strings and hands them to take, one by one. It returns the
// error of take as soon as there is one, and notStrings for what is anything else.
func eachString(dec *jsontext.Decoder, notStrings error, take func(string) error) error {
	if dec.PeekKind() != '[' {
		return refuse(dec, notStrings)
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != ']' {
		s, err := readString(dec, notStrings)
		if err == nil {
			err = take(s)
		}
		if err != nil {
			return err
		}
	}
	_, err := dec.ReadToken()
	return err
}

// eachMember reads an object and hands its names to take, which reads the value. It returns
// notObject for what is anything else.
func eachMember(dec *jsontext.Decoder, notObject error, take func(name string) error) error {
	if dec.PeekKind() != '{' {
		return refuse(dec, notObject)
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		if err := take(name.String()); err != nil {
			return err
		}
	}
	_, err := dec.ReadToken()
	return err
}

// readString reads a string, or returns notString.
func readString(dec *jsontext.Decoder, notString error) (string, error) {
	if dec.PeekKind() != '"' {
		return "", refuse(dec, notString)
	}
	token, err := dec.ReadToken()
	if err != nil {
		return "", err
	}
	return token.String(), nil
}

// labelSet are labels to set, and, nil, to take away.
type labelSet map[string]*string

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (l *labelSet) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	notLabels := sallyport.Errorf(sallyport.CodeInvalidLabels, `labels must be an object of strings, for example {"team":"build"}`)
	*l = labelSet{}
	return eachMember(dec, notLabels, func(name string) error {
		if len(*l) == limits.LabelsPerPatchMax {
			return sallyport.Errorf(sallyport.CodeInvalidLabels, "labels has more than %d names", limits.LabelsPerPatchMax)
		}
		(*l)[name] = nil
		if dec.PeekKind() == 'n' {
			_, err := dec.ReadToken()
			return err
		}
		value, err := readString(dec, notLabels)
		(*l)[name] = &value
		return err
	})
}

// scopeList are scopes, one at least.
type scopeList []sallyport.Scope

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (l *scopeList) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	notScopes := sallyport.Errorf(sallyport.CodeInvalidScopes,
		`scopes must be an array of one string at least, for example ["exec"]; there are %v`, sallyport.AllScopes())
	if dec.PeekKind() == 'n' {
		_, err := dec.ReadToken()
		return err
	}
	err := eachString(dec, notScopes, func(name string) error {
		if len(*l) == limits.ScopesPerTokenMax {
			return sallyport.Errorf(sallyport.CodeInvalidScopes, "scopes has more than %d elements; there are %v", limits.ScopesPerTokenMax, sallyport.AllScopes())
		}
		*l = append(*l, sallyport.Scope(name))
		return nil
	})
	if err == nil && len(*l) == 0 {
		return notScopes
	}
	return err
}

// targetList is where forwards may lead; none is nowhere.
type targetList []string

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (l *targetList) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	notTargets := sallyport.Errorf(sallyport.CodeInvalidForwardAllow, `forward_allow must be an array of strings, for example ["loopback:*"]`)
	*l = targetList{}
	return eachString(dec, notTargets, func(target string) error {
		if len(*l) == limits.ForwardAllowMax {
			return sallyport.Errorf(sallyport.CodeInvalidForwardAllow, "forward_allow has more than %d elements", limits.ForwardAllowMax)
		}
		*l = append(*l, target)
		return nil
	})
}
