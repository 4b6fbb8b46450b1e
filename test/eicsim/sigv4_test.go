package eicsim

import (
	"net/http"
	"testing"
)

// The verifier agrees with vectors that other implementations have made.
func TestGoldenVectors(t *testing.T) {
	const (
		host   = "eice-0123456789abcdef0.deadbeef.ec2-instance-connect-endpoint.us-east-2.amazonaws.com"
		secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
		signed = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20260102%2Fus-east-2%2Fec2-instance-connect%2Faws4_request" +
			"&X-Amz-Date=20260102T030405Z&X-Amz-Expires=60"
	)
	for _, c := range []struct{ name, query, hash, signature string }{
		{"no token, no duration",
			signed + "&X-Amz-SignedHeaders=host&instanceConnectEndpointId=eice-0123456789abcdef0&privateIpAddress=10.0.2.44&remotePort=22",
			"0890b14ffd1cd6189ae14a5b436aede01fea04c6ad832f4fab5fc63acab954e2", "f539d1432f7d09b0b241abdac10fd72621fde3d634585480653cf098505e77cb"},
		{"token and duration",
			signed + "&X-Amz-Security-Token=FwoGZXIvYXdzEXAMPLE%2F%2Ftok%2Ben%3D%3D&X-Amz-SignedHeaders=host&instanceConnectEndpointId=eice-0123456789abcdef0" +
				"&maxTunnelDuration=3600&privateIpAddress=10.0.2.44&remotePort=22",
			"1f5879a3b0a2c5546f1cae5b191f928e11fe4206ce5f265f9c0eebec9e30e437", "d36faa67f2c54e4fecc50a94ace7f675e3112befdc758ee89d54e92a99662ae8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := c.query + "&X-Amz-Signature=" + c.signature
			r, err := http.NewRequest(http.MethodGet, "http://"+host+"/openTunnel?"+raw, nil)
			if err != nil {
				t.Fatal(err)
			}
			claim, query, err := queryClaim(raw)
			if err != nil {
				t.Fatal(err)
			}
			canonical := canonicalRequest(r, query, claim.signedHeaders, nil)
			if got := hashOf([]byte(canonical)); got != c.hash {
				t.Errorf("the canonical request's hash is %s, want %s:\n%s", got, c.hash, canonical)
			}
			if !claim.isSigned(secret, canonical) {
				t.Error("the signature isn't taken")
			}
			if claim.isSigned(secret+"x", canonical) || claim.isSigned(secret, canonical+"x") {
				t.Error("another secret or text is taken")
			}
		})
	}
}
