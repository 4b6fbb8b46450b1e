package sallyport

// Diagnosis is what was found on the way to a workspace's machine, step by step.
type Diagnosis struct {
	// OK tells that no step failed.
	OK    bool            `json:"ok"`
	Steps []DiagnosisStep `json:"steps"`
}

// Steps of a Diagnosis. They come in this order, but for what comes before StepBanner:
// with ConnectorSSH StepName, StepAddress and StepPort, with ConnectorLocal StepPort, and
// with ConnectorEIC StepCredentials, StepInstance, StepEndpoint and StepTunnel.
const (
	StepName    = "name"
	StepAddress = "address"
	StepPort    = "port"

	StepCredentials = "credentials"
	StepInstance    = "instance"
	StepEndpoint    = "endpoint"
	StepTunnel      = "tunnel"

	StepBanner  = "banner"
	StepHostKey = "host_key"
	StepLogin   = "login"
	StepShell   = "shell"
	StepSFTP    = "sftp"
)

// How a step went.
const (
	StepOK   = "ok"
	StepWarn = "warn"
	StepFail = "fail"
	// StepSkipped was not tried, since one before it failed.
	StepSkipped = "skipped"
)

// DiagnosisStep is one step on the way.
type DiagnosisStep struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	// Detail says what was found, Hint what to do about it; both in our words, but
	// for names, addresses, keys, and the banner of the machine.
	Detail string `json:"detail,omitempty"`
	Hint   string `json:"hint,omitempty"`
	// HostKey is the key that the machine has proven, and Fingerprint its SHA-256.
	HostKey     string `json:"host_key,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
	// DurationMS is how long the step took.
	DurationMS int64 `json:"duration_ms"`
}
