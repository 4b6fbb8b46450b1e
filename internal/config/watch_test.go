package config

import "testing"

// TestLoadMetricsListen: an address for the metrics is held to what any address is,
// and in dev to this machine.
func TestLoadMetricsListen(t *testing.T) {
	const env = "SALLYPORT_METRICS_LISTEN"
	for _, c := range []struct {
		given given
		want  string
	}{
		{given{file: "data_dir: /d"}, ""},
		{given{file: "metrics.listen: 10.0.0.1:9090"}, "10.0.0.1:9090"},
		{given{file: "metrics: {listen: ':9090'}"}, ":9090"},
		{given{mode: ModeDev, env: variables{"HOME": "/", env: ":9090"}}, "127.0.0.1:9090"},
		{given{mode: ModeDev, env: variables{"HOME": "/"}}, ""},
	} {
		loaded, _, err := c.given.load(t)
		if err != nil {
			t.Errorf("%+v: %v", c.given, err)
		} else if loaded.Config.MetricsListen != c.want {
			t.Errorf("%+v: %q, want %q", c.given, loaded.Config.MetricsListen, c.want)
		}
	}
	checkError(t, given{env: variables{env: "9090"}},
		`metrics.listen is "9090" (environment `+env+`): it takes HOST:PORT, such as 127.0.0.1:9464`)
	checkError(t, given{mode: ModeDev, env: variables{"HOME": "/", env: "0.0.0.0:9090"}},
		`metrics.listen is "0.0.0.0:9090" (environment `+env+`): dev serves this machine alone: it takes a loopback address, such as 127.0.0.1:8080`)
}

// TestLoadTraces: where traces go is as OpenTelemetry's specification has it.
func TestLoadTraces(t *testing.T) {
	for _, c := range []struct {
		name string
		env  variables
		want string
	}{
		{"nothing", variables{}, ""},
		{"all", variables{envAllURL: "http://c:4318"}, "http://c:4318/v1/traces"},
		{"all, below a path", variables{envAllURL: "https://c/otlp/"}, "https://c/otlp/v1/traces"},
		{"traces", variables{envTracesURL: "http://c:4318/x", envAllURL: "http://d:4318"}, "http://c:4318/x"},
		{"traces without a path", variables{envTracesURL: "http://c:4318"}, "http://c:4318/"},
		{"empty", variables{envTracesURL: "", envAllURL: "http://d:4318"}, "http://d:4318/v1/traces"},
		{"off", variables{envAllURL: "http://c:4318", envTracesOff: "TRUE"}, ""},
		{"no exporter", variables{envAllURL: "http://c:4318", envTracesExporter: "none"}, ""},
		{"all said", variables{envAllURL: "http://c", envTracesExporter: "otlp", envAllProtocol: "grpc", envTracesProtocol: "http/protobuf"}, "http://c/v1/traces"},
		{"a protocol alone", variables{envAllProtocol: "grpc"}, ""},
	} {
		loaded, _, err := given{env: c.env}.load(t)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if loaded.Config.TracesEndpoint != c.want {
			t.Errorf("%s: %q, want %q", c.name, loaded.Config.TracesEndpoint, c.want)
		}
	}
	for _, c := range []struct {
		env  variables
		want string
	}{
		{variables{envAllURL: "http://c", envAllProtocol: "grpc"}, `OTEL_EXPORTER_OTLP_PROTOCOL is "grpc": it takes http/protobuf`},
		{variables{envAllURL: "http://c", envTracesExporter: "console"}, `OTEL_TRACES_EXPORTER is "console": it takes otlp or none`},
		{variables{envAllURL: "c:4318"}, envAllURL + ": " + errTracesEndpoint.Error()},
		{variables{envAllURL: "grpc://" + canary + "/"}, envAllURL + ": " + errTracesEndpoint.Error()},
		{variables{envTracesURL: "http://u:" + canary + "@c/"}, envTracesURL + ": " + errTracesEndpoint.Error()},
	} {
		checkError(t, given{env: c.env}, c.want)
	}
}
