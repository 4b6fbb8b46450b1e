package contract

import (
	"encoding/json"
	"testing"
	"time"

	"sallyport/client/sallyport"
	"sallyport/test/loopback"
	"sallyport/test/stack"
)

// A target that doesn't answer is given up, and the row and the refusal say that it was late.
func TestForwardToSilence(t *testing.T) {
	t.Parallel()
	s := stack.Start(t, stack.Options{ForwardOpenTime: 100 * time.Millisecond})
	h := newHome(t, s, "a")
	conn, a := dialForward(t, s, h.token, forwardPath(h, loopback.Silent(t).Port))
	if conn != nil {
		t.Fatal("101, and the target has not taken the connection")
	}
	var refusal sallyport.Error
	if err := json.Unmarshal([]byte(a.Body), &refusal); err != nil || a.Status != 502 || refusal.Code != sallyport.CodeForwardFailed || refusal.Reason != sallyport.ReasonTimeout {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	row := rowsAt(t, s, h.token, "/workspaces/build/forwards")[0]
	if row.Status != "error" || row.Code != sallyport.CodeForwardFailed || row.Reason != sallyport.ReasonTimeout || row.InputBytes != nil {
		t.Errorf("row %+v", row)
	}
}
