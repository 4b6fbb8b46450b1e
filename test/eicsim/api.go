package eicsim

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"strings"
)

// Services, as credential scopes name them; the tunnel shares one with the push and
// has names of its own for what goes wrong.
const (
	serviceEC2    = "ec2"
	servicePush   = "ec2-instance-connect"
	serviceSTS    = "sts"
	serviceTunnel = "tunnel"
)

// bodyBytesMax is far more than any request of these three has.
const bodyBytesMax = 1 << 20

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func invalid(code, format string, args ...any) *APIError {
	return &APIError{Status: http.StatusBadRequest, Code: code, Message: fmt.Sprintf(format, args...)}
}

// call is one request to an API.
type call struct {
	service, action, id string
	body                []byte
	form                url.Values // of the query APIs
}

// serveAPI tells the three APIs apart by the form of the request; the scope of its
// signature must say the same.
func (s *Sim) serveAPI(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/_sim/calls":
		s.serveCalls(w)
		return
	case "/_sim/keys":
		s.serveKeys(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyBytesMax))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c := call{body: body}
	if target, ok := r.Header["X-Amz-Target"]; ok {
		_, c.action, _ = strings.Cut(target[0], ".")
		c.service = servicePush
	} else {
		text := r.URL.RawQuery
		if r.Method == http.MethodPost {
			text = string(body)
		}
		if c.form, err = url.ParseQuery(text); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		c.action, c.service = c.form.Get("Action"), serviceEC2
		if c.form.Get("Version") == stsVersion {
			c.service = serviceSTS
		}
	}
	c.id = s.called(w, c.action)
	if !s.pause(r.Context(), c.action) {
		panic(http.ErrAbortHandler) // how net/http is told to answer nothing
	}
	answer, fault := s.answer(r, c)
	if fault != nil {
		s.reject(c.action, "%s: %s", fault.Code, fault.Message)
		s.writeFault(w, c, *fault)
		return
	}
	s.writeAnswer(w, c, answer)
}

const (
	ec2Version = "2016-11-15"
	stsVersion = "2011-06-15"
)

func (s *Sim) answer(r *http.Request, c call) (any, *APIError) {
	if fault := s.injected(c.action); fault != nil {
		return nil, fault
	}
	if r.URL.Path != "/" {
		return nil, invalid("InvalidAction", "nothing is at %s", r.URL.Path)
	}
	if fault := s.authenticate(r, c); fault != nil {
		return nil, fault
	}
	if s.isDenied(c.action) {
		code := map[string]string{serviceEC2: "UnauthorizedOperation", servicePush: "AccessDeniedException", serviceSTS: "AccessDenied"}[c.service]
		return nil, &APIError{Status: http.StatusForbidden, Code: code, Message: "You are not authorized to perform this operation."}
	}
	if c.service == serviceEC2 && c.form.Get("Version") != ec2Version {
		return nil, invalid("NoSuchVersion", "Version is %q, not %s", c.form.Get("Version"), ec2Version)
	}
	if c.service == serviceEC2 && c.form.Get("DryRun") == "true" {
		return nil, &APIError{Status: http.StatusPreconditionFailed, Code: "DryRunOperation", Message: "Request would have succeeded, but DryRun flag is set."}
	}
	switch c.service + " " + c.action {
	case serviceEC2 + " " + DescribeInstances:
		return s.describeInstances(c.form, c.id)
	case serviceEC2 + " " + DescribeEndpoints:
		return s.describeEndpoints(c.form, c.id)
	case serviceSTS + " " + AssumeRole:
		return s.assumeRole(c.form, c.id)
	case servicePush + " " + SendSSHPublicKey:
		return s.push(r, c)
	}
	return nil, invalid("InvalidAction", "the action %q is not valid", c.action)
}

// authenticate verifies the signature of a request to an API.
func (s *Sim) authenticate(r *http.Request, c call) *APIError {
	fail := func(f authFault, why string) *APIError {
		fault := f.code(c.service)
		s.reject(c.action, "%s", why)
		return &fault
	}
	if r.Header.Get("Authorization") == "" {
		return fail(missing, "no signature")
	}
	claim, err := headerClaim(r)
	if err != nil {
		return fail(mismatch, err.Error())
	}
	pairs, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return fail(mismatch, err.Error())
	}
	if stated := r.Header.Get("X-Amz-Content-Sha256"); stated != "" && stated != hashOf(c.body) {
		return fail(mismatch, "X-Amz-Content-Sha256 is not the body's")
	}
	canonical := canonicalRequest(r, canonicalQuery(pairs), claim.signedHeaders, c.body)
	if f, why := s.check(claim, c.service, canonical, skewMax); f != 0 {
		return fail(f, why)
	}
	return nil
}

// ec2Errors and stsErrors are the two shapes of an error in XML.
type ec2Errors struct {
	XMLName   xml.Name `xml:"Response"`
	Code      string   `xml:"Errors>Error>Code"`
	Message   string   `xml:"Errors>Error>Message"`
	RequestID string
}

type stsErrors struct {
	XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

func (s *Sim) writeFault(w http.ResponseWriter, c call, e APIError) {
	var shape any
	switch c.service {
	case servicePush:
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		e.writeHeader(w)
		// Both spellings of both have been seen.
		kind, message := e.Code, "message"
		if s.Calls(c.action)%2 == 1 {
			kind, message = "com.amazonaws.aws.sshaccessproxyservice#"+kind, "Message"
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": kind, message: e.Message}) // the client may have gone
		return
	case serviceSTS:
		shape = stsErrors{Type: "Sender", Code: e.Code, Message: e.Message, RequestID: c.id}
	default:
		shape = ec2Errors{Code: e.Code, Message: e.Message, RequestID: c.id}
	}
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	e.writeHeader(w)
	writeXML(w, shape)
}

func (s *Sim) writeAnswer(w http.ResponseWriter, c call, answer any) {
	if c.service == servicePush {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_ = json.NewEncoder(w).Encode(answer) // the client may have gone
		return
	}
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	writeXML(w, answer)
}

func writeXML(w io.Writer, shape any) {
	_, _ = io.WriteString(w, xml.Header) // the client may have gone
	_ = xml.NewEncoder(w).Encode(shape)
}
