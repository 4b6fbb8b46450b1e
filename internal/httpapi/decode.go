package httpapi

import (
	"errors"
	"io"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sallyport/client/sallyport"
	"sallyport/internal/fairqueue"
	"sallyport/internal/limits"
)

// decode reads the request's body as one JSON object into a T, whose `json` tags name the
// members that there are. The reading ends at the first member that there isn't, and at the
// first fault; encoding/json would take CMD for cmd, two members of one name, a lone
// surrogate, and bytes that aren't UTF-8.
//
// It returns body_too_large, unsupported_media_type, request_timeout, too_many_execs or
// rate_limited with the reason memory, invalid_json, unknown_field, or the code of the member
// that is wrong; or what authenticate returns for a caller whose token has ended meanwhile.
func decode[T any](c *call) (T, error) {
	var v T
	return v, c.readBody(func(r *bodyReader) error { return parse(r, &v) })
}

// decodeIfAny is decode for a route whose body may be missing; then it is the zero T.
func decodeIfAny[T any](c *call) (T, error) {
	var v T
	return v, c.readBody(func(r *bodyReader) error {
		if err := parse(r, &v); err != nil && r.read > 0 {
			return err
		}
		return nil
	})
}

// noBody reads a body that must be empty, but for blanks.
func (c *call) noBody() error {
	return c.readBody(func(r *bodyReader) error {
		_, err := jsontext.NewDecoder(r).ReadToken()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, new(*jsontext.SyntacticError)), err == nil:
			return sallyport.Errorf(sallyport.CodeInvalidJSON, "this takes no body: the token is the one in the Authorization header")
		}
		return err
	})
}

// readBody has parse read the body as it arrives, within the bounds of time and memory. What
// parse leaves of it is thrown away, so that the caller gets to read the answer.
func (c *call) readBody(parse func(*bodyReader) error) error {
	if c.route.body != bodyJSON && c.route.body != bodyForm {
		return errors.New("the route reads a body that it says it doesn't")
	}
	if err := c.checkBodyHeader(); err != nil {
		return err
	}
	c.bodyTaken = true
	c.limitBody(c.api.Times.orLimits().BodyRead)
	err := c.readWith(http.MaxBytesReader(c.w, c.r.Body, limits.BodyBytesMax), parse)
	if err != nil {
		c.limitBody(limits.BodyUnreadTime)
		_, _ = io.CopyN(io.Discard, c.r.Body, limits.BodyBytesMax) // a caller who is slow loses the connection
	}
	return err
}

// readWith is readBody for what r has of the body.
func (c *call) readWith(r io.Reader, parse func(*bodyReader) error) error {
	body := &bodyReader{r: r, c: c}
	err := parse(body)
	body.turn.Release()
	if body.fault != nil {
		err = body.fault
	}
	if err != nil {
		c.held.Shrink(0)
		return err
	}
	c.held.Shrink(body.read) // what was made of it stays until the answer
	c.takeTurn()
	// From now on a read tells only whether the caller is still there.
	return errors.Join(c.setReadDeadline(time.Time{}), c.authenticateAgain())
}

// checkBodyHeader refuses what the header says of the body.
func (c *call) checkBodyHeader() error {
	if err := c.checkEncoding(); err != nil {
		return err
	}
	if c.byCookie && c.r.ContentLength != 0 && !isJSON(c.r.Header["Content-Type"]) && !c.streamsStdin() {
		return sallyport.Errorf(sallyport.CodeUnsupportedMediaType, "with a cookie the body must come as Content-Type: application/json")
	}
	return nil
}

func (c *call) checkEncoding() error {
	if strings.Join(c.r.Header["Content-Encoding"], "") != "" {
		return sallyport.Errorf(sallyport.CodeUnsupportedMediaType, "a Content-Encoding is not taken: send the body as it is")
	}
	return nil
}

// bodyReader reads a body and counts what it takes of the server's memory.
type bodyReader struct {
	r    io.Reader
	c    *call
	read int64
	// turn is the caller's organisation's, while what was read of a large body is parsed.
	turn *fairqueue.Place
	// fault is why the body couldn't be read on, as the caller is told.
	fault error
}

func (b *bodyReader) Read(p []byte) (int, error) {
	b.turn.Release() // the sender may take his time
	n, err := b.r.Read(p)
	b.read += int64(n)
	if b.read > limits.SmallBytesMax {
		b.turn = b.c.waitTurn()
	}
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil || errors.Is(err, io.EOF):
		// The parser's buffer, and what is made of it.
		if b.fault = b.c.hold(2 * b.read); b.fault != nil {
			err = b.fault
		}
	case errors.As(err, &tooLarge):
		b.fault = sallyport.Errorf(sallyport.CodeBodyTooLarge, "the body is larger than %d bytes", limits.BodyBytesMax)
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.fault = sallyport.Errorf(sallyport.CodeRequestTimeout, "the body took longer than %s to arrive", b.c.api.Times.orLimits().BodyRead)
	default:
		b.fault = sallyport.Errorf(sallyport.CodeInvalidJSON, "the body did not arrive whole").Because(err)
	}
	return n, err
}

// parse reads one JSON object into a struct, and nothing behind it.
func parse(r io.Reader, v any) error {
	dec := jsontext.NewDecoder(r)
	if dec.PeekKind() != '{' {
		if _, err := dec.ReadToken(); err != nil && !errors.Is(err, io.EOF) {
			return invalidJSON(err)
		}
		return sallyport.Errorf(sallyport.CodeInvalidJSON, "the body must be a JSON object")
	}
	var known *sallyport.Error
	switch err := readObject(dec, v); {
	case errors.As(err, &known):
		if err := lookOn(dec); err != nil {
			return invalidJSON(err)
		}
		return known
	case err != nil:
		return invalidJSON(err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return sallyport.Errorf(sallyport.CodeInvalidJSON, "there is something behind the JSON object")
	}
	return nil
}

// readObject reads an object into a struct. What is wrong with a member is a
// *sallyport.Error, and what is no JSON is the JSON package's error.
func readObject(dec *jsontext.Decoder, v any) error {
	into := reflect.ValueOf(v).Elem()
	return eachMember(dec, wantError("an object"), func(name string) error {
		path := pathOf(dec.StackPointer())
		if field, at, ok := memberField(into, name); ok {
			return memberError(field, path, json.UnmarshalDecode(dec, at.Addr().Interface()))
		}
		return unknownField(path, memberNames(into.Type()))
	})
}

// memberField finds the field of a struct, or of one that is embedded in it, that takes the
// member of a name.
func memberField(of reflect.Value, name string) (field reflect.StructField, at reflect.Value, ok bool) {
	for i := range of.NumField() {
		field, at = of.Type().Field(i), of.Field(i)
		switch {
		case field.Anonymous:
			if field, at, ok := memberField(at, name); ok {
				return field, at, true
			}
		case field.Tag.Get("json") == name:
			return field, at, true
		}
	}
	return field, at, false
}

// pathOf is where a member stands, as people write it.
func pathOf(p jsontext.Pointer) string {
	return strings.Join(slices.Collect(p.Tokens()), ".")
}

// lookOn reads a little of what follows a wrong member, since text that is no JSON at all is
// to be called so. It returns the syntax error that it comes upon.
func lookOn(dec *jsontext.Decoder) error {
	const valuesMax = 64 // and 10,000 that are begun, one within another
	for values := 0; values < valuesMax; {
		token, err := dec.ReadToken()
		if errors.As(err, new(*jsontext.SyntacticError)) {
			return err
		}
		within, n := dec.StackIndex(dec.StackDepth())
		isName := within == '{' && n%2 == 1
		switch {
		case err != nil:
			return nil
		case token.Kind() != '{' && token.Kind() != '[' && !isName:
			values++
		}
	}
	return nil
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

// memberError says in our words what is wrong with the member of a field. The JSON package's
// own text differs from one process to the next, and repeats what the caller sent.
func memberError(field reflect.StructField, path string, err error) error {
	var known *sallyport.Error
	switch {
	case err == nil, errors.As(err, &known), errors.As(err, new(*jsontext.SyntacticError)):
		return err
	}
	member, _, nested := strings.Cut(path, ".")
	if want := field.Tag.Get("want"); want != "" && !nested {
		return sallyport.Errorf(codeOf(member), "%s", want)
	}
	return sallyport.Errorf(codeOf(member), "%s must be %s", path, wanted(err))
}

func unknownField(name string, known []string) error {
	return sallyport.Errorf(sallyport.CodeUnknownField, "unknown field %.100q; there are %s", name, strings.Join(known, ", "))
}

// codeOf is the code of a member that is wrong.
func codeOf(member string) sallyport.Code {
	switch member {
	case "cmd":
		return sallyport.CodeInvalidArgv
	case "timeout_s":
		return sallyport.CodeInvalidTimeout
	case "to_base64":
		return sallyport.CodeInvalidTo
	}
	return sallyport.Code("invalid_" + member)
}

// wanted says what a member must be that isn't.
func wanted(err error) string {
	var want wantError
	var semantic *json.SemanticError
	switch {
	case errors.As(err, &want):
		return string(want)
	case errors.As(err, &semantic) && semantic.GoType != nil && semantic.GoType.Kind() == reflect.Bool:
		return "true or false"
	}
	return "a string"
}

// memberNames are the members of a struct, as JSON has them.
func memberNames(of reflect.Type) []string {
	var names []string
	for i := range of.NumField() {
		if field := of.Field(i); field.Anonymous {
			names = append(names, memberNames(field.Type)...)
		} else {
			names = append(names, field.Tag.Get("json"))
		}
	}
	return names
}
