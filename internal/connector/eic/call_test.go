package eic

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Credentials that ran out are had anew once, however many requests were under way with
// them; a request that is refused with new ones gives up.
func TestRenew(t *testing.T) {
	had := 0
	a := &account{creds: aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		had++
		return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}, nil
	}))}
	refused := &fault{class: credentials}
	try := func(tries *tries, wantAgain bool, wantHad int) {
		t.Helper()
		if got := tries.again(t.Context(), refused); got != wantAgain {
			t.Errorf("again: %v", got)
		}
		if _, err := a.retrieve(t.Context()); err != nil || had != wantHad {
			t.Errorf("%v, had %d times, want %d", err, had, wantHad)
		}
	}
	if _, err := a.retrieve(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, late := a.newTries(), a.newTries()
	try(&first, true, 2)
	try(&late, true, 2) // what was refused were those before
	try(&first, false, 2)
	next := a.newTries()
	try(&next, true, 3)
}
