package eic

import (
	"net/url"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// TestPresign holds a URL to signatures that were made by AWS's own client.
func TestPresign(t *testing.T) {
	const host = "eice-0123456789abcdef0.deadbeef.ec2-instance-connect-endpoint.us-east-2.amazonaws.com"
	creds := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
	r := route{endpointID: "eice-0123456789abcdef0", host: host, address: "10.0.2.44"}
	withToken, long := creds, r
	withToken.SessionToken, long.duration = "FwoGZXIvYXdzEXAMPLE//tok+en==", time.Hour
	for _, tt := range []struct {
		name      string
		creds     aws.Credentials
		route     route
		signature string
	}{
		{"no token, no duration", creds, r, "f539d1432f7d09b0b241abdac10fd72621fde3d634585480653cf098505e77cb"},
		{"token and duration", withToken, long, "d36faa67f2c54e4fecc50a94ace7f675e3112befdc758ee89d54e92a99662ae8"},
	} {
		signed, err := presign(t.Context(), tt.creds, "us-east-2", tt.route, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(signed)
		if err != nil {
			t.Fatal(err)
		}
		if got := u.Query().Get("X-Amz-Signature"); got != tt.signature || u.Scheme != "https" || u.Host != host || u.Path != "/openTunnel" {
			t.Errorf("%s: %s", tt.name, signed)
		}
	}
}
