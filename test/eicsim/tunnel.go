package eicsim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
)

const tunnelSecondsMax = 3600

// connKey finds a request's connection in its context.
type connKey struct{}

// route is where a tunnel leads that may be opened.
type route struct {
	endpoint EndpointRecord
	instance Instance
	port     string
	life     time.Duration
}

// target is whom to dial; empty where nothing listens.
func (r route) target() string {
	if r.port != "22" || !r.instance.isRunning() {
		return ""
	}
	return r.instance.Addr
}

// serveTunnel judges a request for a tunnel, upgrades it, and dials afterwards.
func (s *Sim) serveTunnel(w http.ResponseWriter, r *http.Request) {
	s.called(w, OpenTunnel)
	s.mu.Lock()
	s.lastQuery = r.URL.Query()
	s.mu.Unlock()
	if !s.pause(r.Context(), OpenTunnel) {
		panic(http.ErrAbortHandler) // how net/http is told to answer nothing
	}
	fault := s.injected(OpenTunnel)
	var way route
	if fault == nil {
		way, fault = s.judge(r)
	}
	if fault == nil {
		fault = s.take(way.endpoint.ID)
	}
	if fault != nil {
		s.reject(OpenTunnel, "%s: %s", fault.Code, fault.Message)
		w.Header().Set("Content-Type", "application/json")
		fault.writeHeader(w)
		_ = json.NewEncoder(w).Encode(map[string]string{"ErrorCode": fault.Code, "Message": fault.Message}) // the client may have gone
		return
	}
	s.wg.Add(1) // the server doesn't count the connection any more
	defer s.wg.Done()
	defer s.release(way.endpoint.ID)
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{OnPingReceived: s.answersPings})
	if err != nil {
		s.reject(OpenTunnel, "%v", err) // Accept has answered
		return
	}
	s.carry(conn, r.Context().Value(connKey{}).(net.Conn), way)
}

// take takes one of an endpoint's tunnels.
func (s *Sim) take(endpoint string) *APIError {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[endpoint] >= s.options.TunnelsMax {
		e := s.options.LimitError
		e.Status = cmp.Or(e.Status, http.StatusTooManyRequests)
		e.Code = cmp.Or(e.Code, "TunnelLimitExceeded")
		e.Message = cmp.Or(e.Message, fmt.Sprintf("%d tunnels are open, and more can't be", s.taken[endpoint]))
		return &e
	}
	s.taken[endpoint]++
	return nil
}

func (s *Sim) release(endpoint string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken[endpoint]--
}

// Tunnels counts an endpoint's open tunnels.
func (s *Sim) Tunnels(endpointID string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken[endpointID]
}

// CutTunnels drops all tunnels without a close frame.
func (s *Sim) CutTunnels() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.tunnels {
		p.cut()
	}
}

// judge holds a request for a tunnel to all that is known of it.
func (s *Sim) judge(r *http.Request) (route, *APIError) {
	if r.Method != http.MethodGet || r.URL.Path != "/openTunnel" {
		return route{}, &APIError{Status: http.StatusNotFound, Code: "InvalidParameter", Message: "nothing is at " + r.Method + " " + r.URL.Path}
	}
	for _, name := range []string{"Origin", "Authorization", "Cookie", "Sec-Websocket-Protocol", "Sec-Websocket-Extensions"} {
		if _, there := r.Header[name]; there {
			return route{}, parameter("the header %s has no place here", name)
		}
	}
	claim, signed, err := queryClaim(r.URL.RawQuery)
	if err != nil {
		fault := mismatch.code(serviceTunnel)
		if !r.URL.Query().Has("X-Amz-Signature") {
			fault = missing.code(serviceTunnel)
		}
		fault.Message += " " + err.Error()
		return route{}, &fault
	}
	canonical := canonicalRequest(r, signed, claim.signedHeaders, nil)
	if f, why := s.check(claim, servicePush, canonical, presignedSeconds*time.Second); f != 0 {
		fault := f.code(serviceTunnel)
		s.reject(OpenTunnel, "%s", why)
		return route{}, &fault
	}
	if s.isDenied(OpenTunnel) {
		return route{}, denied("no policy allows ec2-instance-connect:OpenTunnel")
	}
	return s.routeOf(r.Host, r.URL.Query())
}

func parameter(format string, args ...any) *APIError {
	return invalid("InvalidParameter", format, args...)
}

func denied(message string) *APIError {
	return &APIError{Status: http.StatusForbidden, Code: "AccessDeniedException", Message: message}
}

// routeOf reads the parameters of a tunnel.
func (s *Sim) routeOf(host string, query url.Values) (route, *APIError) {
	known := []string{"instanceConnectEndpointId", "remotePort", "privateIpAddress", "maxTunnelDuration"}
	for name := range query {
		if !strings.HasPrefix(name, "X-Amz-") && !slices.Contains(known, name) {
			return route{}, parameter("%s is no parameter", name)
		}
	}
	way := route{port: query.Get("remotePort")}
	if way.port != "22" && way.port != "3389" {
		return route{}, parameter("remotePort must be 22 or 3389")
	}
	seconds, err := strconv.Atoi(query.Get("maxTunnelDuration"))
	if err != nil || seconds < 1 || seconds > tunnelSecondsMax {
		return route{}, parameter("maxTunnelDuration must be 1 to %d", tunnelSecondsMax)
	}
	if seconds > s.options.MaxTunnelDuration {
		return route{}, denied("no policy allows a tunnel of more than " + strconv.Itoa(s.options.MaxTunnelDuration) + " seconds")
	}
	way.life = time.Duration(seconds) * time.Second
	var ok bool
	way.endpoint, ok = s.endpoint(query.Get("instanceConnectEndpointId"))
	if !ok || !slices.Contains(usableStates(), way.endpoint.State) {
		return route{}, &APIError{Status: http.StatusNotFound, Code: "ResourceNotFoundException", Message: "the endpoint is not there"}
	}
	if !slices.Contains(way.endpoint.names(), host) {
		return route{}, parameter("Host is %s, and the endpoint is called %s", host, way.endpoint.DNSName)
	}
	address, err := netip.ParseAddr(query.Get("privateIpAddress"))
	if err != nil {
		return route{}, parameter("privateIpAddress: %v", err)
	}
	if way.instance, ok = s.instanceAt(way.endpoint.VPC, address); !ok {
		return route{}, parameter("privateIpAddress %s is not of %s", address, way.endpoint.VPC)
	}
	if !way.endpoint.fits(address) {
		return route{}, parameter("an endpoint of type %s doesn't reach %s", way.endpoint.IPAddressType, address)
	}
	return way, nil
}
