package httpapi

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"sallyport"
)

// object is a JSON object as it came: encoding/json would take CMD for cmd, two
// of one key, a lone surrogate, and bytes that are not UTF-8.
type object map[string]jsontext.Value

// parseObject reads one JSON object and nothing behind it. It returns
// invalid_json.
func parseObject(body []byte) (object, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(body))
	if dec.PeekKind() != '{' {
		if _, err := dec.ReadValue(); err != nil && !errors.Is(err, io.EOF) {
			return nil, invalidJSON(err)
		}
		return nil, sallyport.Errorf(sallyport.CodeInvalidJSON, "the body must be a JSON object")
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, invalidJSON(err)
	}
	members := object{}
	for dec.PeekKind() == '"' {
		token, err := dec.ReadToken()
		if err != nil {
			return nil, invalidJSON(err)
		}
		name := token.String()
		value, err := dec.ReadValue()
		if err != nil {
			return nil, invalidJSON(err)
		}
		members[name] = value.Clone()
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, invalidJSON(err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, sallyport.Errorf(sallyport.CodeInvalidJSON, "there is something behind the JSON object")
	}
	return members, nil
}

// invalidJSON says where the text stops being JSON; what stands there may be a
// secret, and is repeated neither here nor in the log.
func invalidJSON(err error) error {
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return sallyport.Errorf(sallyport.CodeInvalidJSON, "a JSON object has the same key twice")
	case errors.As(err, &syntax):
		return sallyport.Errorf(sallyport.CodeInvalidJSON, "the body is not valid JSON in UTF-8, from byte %d on", syntax.ByteOffset)
	}
	return sallyport.Errorf(sallyport.CodeInvalidJSON, "the body is not valid JSON")
}

// only refuses members of o that are not in known. within is where o stands, for
// the message.
func (o object) only(within string, known ...string) error {
	var first string
	for name := range o {
		if !slices.Contains(known, name) && (first == "" || name < first) {
			first = name
		}
	}
	if _, empty := o[""]; first == "" && !empty {
		return nil
	}
	return sallyport.Errorf(sallyport.CodeUnknownField, "unknown field %.100q; there are %s", within+first, strings.Join(known, ", "))
}

// get returns a member that is there and not null.
func (o object) get(name string) (jsontext.Value, bool) {
	v, ok := o[name]
	return v, ok && v.Kind() != 'n'
}

// str reads a string; missing and null are "".
func (o object) str(name string, code sallyport.Code) (string, error) {
	v, ok := o.get(name)
	if !ok {
		return "", nil
	}
	s, ok := asString(v)
	if !ok {
		return "", sallyport.Errorf(code, "%s must be a string", name)
	}
	return s, nil
}

// boolean reads true or false; missing and null are false.
func (o object) boolean(name string, code sallyport.Code) (bool, error) {
	v, ok := o.get(name)
	if !ok {
		return false, nil
	}
	if k := v.Kind(); k != 't' && k != 'f' {
		return false, sallyport.Errorf(code, "%s must be true or false", name)
	}
	return v.Kind() == 't', nil
}

// integer reads an integer, however large: what doesn't fit is the largest or
// the smallest that does. Missing and null are nil.
func (o object) integer(name string, code sallyport.Code) (*int64, error) {
	v, ok := o.get(name)
	if !ok {
		return nil, nil
	}
	digits := strings.TrimPrefix(string(v), "-")
	if v.Kind() != '0' || strings.Trim(digits, "0123456789") != "" {
		return nil, sallyport.Errorf(code, "%s must be an integer, without a fraction or an exponent", name)
	}
	// Out of range, ParseInt returns the nearest value that is in it.
	n, _ := strconv.ParseInt(string(v), 10, 64)
	return &n, nil
}

func asString(v jsontext.Value) (string, bool) {
	if v.Kind() != '"' {
		return "", false
	}
	s, err := jsontext.AppendUnquote(nil, v)
	return string(s), err == nil
}

// asStrings reads an array of strings.
func asStrings(v jsontext.Value) ([]string, bool) {
	if v.Kind() != '[' {
		return nil, false
	}
	dec := jsontext.NewDecoder(bytes.NewReader(v))
	if _, err := dec.ReadToken(); err != nil {
		return nil, false
	}
	list := []string{}
	for dec.PeekKind() != ']' {
		element, err := dec.ReadValue()
		if err != nil {
			return nil, false
		}
		s, ok := asString(element)
		if !ok {
			return nil, false
		}
		list = append(list, s)
	}
	return list, true
}
