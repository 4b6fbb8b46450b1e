package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Variables of OpenTelemetry's that say whether, where and how traces go (its
// specification, "OpenTelemetry Environment Variables"). What else there is of them
// is read by its own library.
const (
	envTracesOff      = "OTEL_SDK_DISABLED"
	envTracesExporter = "OTEL_TRACES_EXPORTER"
	envTracesURL      = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	envAllURL         = "OTEL_EXPORTER_OTLP_ENDPOINT"
	envTracesProtocol = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
	envAllProtocol    = "OTEL_EXPORTER_OTLP_PROTOCOL"
)

// checkTraces finds out where traces go: nowhere, unless an endpoint is set.
func (l *loading) checkTraces() error {
	name, endpoint := l.firstSet(envTracesURL, envAllURL)
	if off, _ := l.env(envTracesOff); endpoint == "" || strings.EqualFold(off, "true") {
		return nil
	}
	switch exporter, _ := l.env(envTracesExporter); exporter {
	case "", "otlp":
	case "none":
		return nil
	default:
		return fmt.Errorf("%s is %s: it takes otlp or none", envTracesExporter, quote(exporter))
	}
	if name, protocol := l.firstSet(envTracesProtocol, envAllProtocol); protocol != "" && protocol != "http/protobuf" {
		return fmt.Errorf("%s is %s: it takes http/protobuf", name, quote(protocol))
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return fmt.Errorf("%s: %w", name, errTracesEndpoint) // which may hold a secret, and isn't shown
	}
	switch {
	case name == envAllURL:
		u = u.JoinPath("v1", "traces")
	case u.Path == "":
		u.Path = "/"
	}
	l.config.TracesEndpoint = u.String()
	return nil
}

var errTracesEndpoint = errors.New("it takes http:// or https:// and a host, without a user: credentials go into OTEL_EXPORTER_OTLP_HEADERS")

// firstSet returns the first of the variables that is set.
func (l *loading) firstSet(names ...string) (name, text string) {
	for _, name := range names {
		if text, ok := l.env(name); ok && text != "" {
			return name, text
		}
	}
	return "", ""
}
