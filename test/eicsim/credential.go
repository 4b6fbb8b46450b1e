package eicsim

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"
)

// credentials are one access key's.
type credentials struct {
	secret, token string
	expires       time.Time // zero is never
	expired       bool      // by hand
}

// AddCredentials accepts one more access key; an empty token is none.
func (s *Sim) AddCredentials(accessKey, secretKey, token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.credentials[accessKey] = &credentials{secret: secretKey, token: token}
}

// Revoke forgets an access key: its requests are a stranger's.
func (s *Sim) Revoke(accessKey string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.credentials, accessKey)
}

// ExpireCredentials makes all temporary credentials so far answer that they have
// expired: those of AssumeRole, and static ones that have a session token.
func (s *Sim) ExpireCredentials() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.credentials {
		if c.token != "" {
			c.expired = true
		}
	}
}

// AddRole makes a role that AssumeRole gives credentials for; an empty external id is
// not asked for.
func (s *Sim) AddRole(arn, externalID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roles[arn] = externalID
}

// authFault is what is wrong with a request's proof of who it is.
type authFault int

const (
	missing  authFault = iota + 1 // no proof at all
	mismatch                      // a wrong signature, or of something else
	stale                         // signed too long ago
	stranger                      // an access key that nobody knows
	expired                       // temporary credentials of yesterday
)

// code is the name that a service has for a fault.
func (f authFault) code(service string) APIError {
	names := map[string][]string{
		serviceEC2:    {"AuthFailure", "SignatureDoesNotMatch", "RequestExpired", "AuthFailure", "ExpiredToken"},
		servicePush:   {"MissingAuthenticationTokenException", "InvalidSignatureException", "InvalidSignatureException", "UnrecognizedClientException", "ExpiredTokenException"},
		serviceSTS:    {"MissingAuthenticationToken", "SignatureDoesNotMatch", "SignatureDoesNotMatch", "InvalidClientTokenId", "ExpiredToken"},
		serviceTunnel: {"AccessDeniedException", "SignatureDoesNotMatch", "RequestExpired", "UnrecognizedClientException", "ExpiredTokenException"},
	}
	messages := []string{
		"The request has no signature.",
		"The request signature we calculated does not match the signature you provided.",
		"Signature expired.",
		"The security token included in the request is invalid.",
		"The security token included in the request is expired.",
	}
	status := http.StatusForbidden
	switch {
	case service == servicePush || service == serviceEC2 && (f == stale || f == expired):
		status = http.StatusBadRequest
	case service == serviceEC2 && f != mismatch:
		status = http.StatusUnauthorized
	}
	return APIError{Status: status, Code: names[service][f-1], Message: messages[f-1]}
}

// check holds a claim against the credentials that there are, and says what is wrong
// with it for the rejections; 0 is nothing.
func (s *Sim) check(c *claim, service, canonical string, ages time.Duration) (authFault, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.credentials[c.accessKey]
	now := s.now()
	switch {
	case c.service != service || c.region != s.options.Region:
		return mismatch, "signed for " + c.scope()
	case known == nil:
		return stranger, "an unknown access key"
	case subtle.ConstantTimeCompare([]byte(known.token), []byte(c.token)) != 1:
		return stranger, "not the session token of its access key"
	case !c.isSigned(known.secret, canonical):
		return mismatch, "a wrong signature; what was signed should be\n" + canonical
	case now.Sub(c.time) > ages || c.time.Sub(now) > skewMax:
		return stale, "signed at " + c.at + ", and it is " + now.UTC().Format(timeLayout)
	case known.expired || !known.expires.IsZero() && !now.Before(known.expires):
		return expired, "expired credentials"
	}
	return 0, ""
}

type assumeRoleResponse struct {
	XMLName     xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ AssumeRoleResponse"`
	RoleID      string   `xml:"AssumeRoleResult>AssumedRoleUser>AssumedRoleId"`
	RoleARN     string   `xml:"AssumeRoleResult>AssumedRoleUser>Arn"`
	AccessKeyID string   `xml:"AssumeRoleResult>Credentials>AccessKeyId"`
	Secret      string   `xml:"AssumeRoleResult>Credentials>SecretAccessKey"`
	Token       string   `xml:"AssumeRoleResult>Credentials>SessionToken"`
	Expiration  string   `xml:"AssumeRoleResult>Credentials>Expiration"`
	RequestID   string   `xml:"ResponseMetadata>RequestId"`
}

// assumeRole gives temporary credentials for a role.
func (s *Sim) assumeRole(form url.Values, requestID string) (any, *APIError) {
	arn, session := form.Get("RoleArn"), form.Get("RoleSessionName")
	if !regexp.MustCompile(`^[\w+=,.@-]{2,64}$`).MatchString(session) {
		return nil, invalid("ValidationError", "RoleSessionName %q is not valid", session)
	}
	seconds := 3600
	if text := form.Get("DurationSeconds"); text != "" {
		var err error
		if seconds, err = strconv.Atoi(text); err != nil || seconds < 900 || seconds > 43200 {
			return nil, invalid("ValidationError", "DurationSeconds %q is not valid", text)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	externalID, known := s.roles[arn]
	if !known || externalID != "" && externalID != form.Get("ExternalId") {
		return nil, &APIError{Status: http.StatusForbidden, Code: "AccessDenied", Message: "User is not authorized to perform: sts:AssumeRole on resource: " + arn}
	}
	c := &credentials{
		secret: base64.StdEncoding.EncodeToString(randomBytes(30)),
		// What must be escaped in a query is always in it.
		token:   "FwoGZXIv//" + base64.StdEncoding.EncodeToString(randomBytes(64)) + "+==",
		expires: s.now().Add(time.Duration(seconds) * time.Second),
	}
	accessKey := "ASIA" + randomHex(8)
	s.credentials[accessKey] = c
	return assumeRoleResponse{
		RoleID: "AROAEXAMPLE:" + session, RoleARN: arn + "/" + session, RequestID: requestID,
		AccessKeyID: accessKey, Secret: c.secret, Token: c.token, Expiration: c.expires.UTC().Format(time.RFC3339),
	}, nil
}
