package eic

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"sallyport/client/sallyport"
	"sallyport/internal/connector"
	"sallyport/internal/limits"
)

// Steps names the steps of Walk, and last that of the dial.
func (c *Connector) Steps() []string {
	return []string{sallyport.StepCredentials, sallyport.StepInstance, sallyport.StepEndpoint, sallyport.StepTunnel}
}

// Walk asks AWS anew for all that a tunnel to target takes, and opens none.
func (c *Connector) Walk(ctx context.Context, target connector.Target) []sallyport.DiagnosisStep {
	w := &walk{dial: dial{Connector: c, target: target, user: cmp.Or(target.Spec.User, sallyport.DefaultEICUser)}}
	for i, step := range []func(context.Context) (string, error){w.credentials, w.instance, w.endpoint} {
		if !w.take(ctx, c.Steps()[i], step) {
			break
		}
	}
	return w.steps
}

// walk holds the results of the way so far.
type walk struct {
	dial
	steps []sallyport.DiagnosisStep
}

// take takes a step, and tells whether to go on.
func (w *walk) take(ctx context.Context, name string, step func(context.Context) (string, error)) bool {
	began := time.Now()
	detail, err := step(ctx)
	s := sallyport.DiagnosisStep{Name: name, Status: sallyport.StepOK, Detail: detail, DurationMS: time.Since(began).Milliseconds()}
	if err != nil {
		w.log.InfoContext(ctx, "eic: diagnosis", w.attrs("step", name, "cause", err)...)
		s.Status, s.Detail, s.Hint = sallyport.StepFail, "it could not be looked at", "the server's log tells more, with AWS's request ids"
		if known, ok := errors.AsType[*sallyport.Error](tell(ctx, err)); ok {
			s.Detail = known.Message
		}
	}
	w.steps = append(w.steps, s)
	return err == nil
}

func (w *walk) credentials(ctx context.Context) (string, error) {
	var err error
	if w.account, err = w.accounts.of(ctx, w.target.Spec.Region, w.target.AWS); err != nil {
		return "", err
	}
	creds, err := w.account.retrieve(ctx)
	if err != nil {
		return "", err
	}
	detail := "found, for " + w.account.region
	if w.target.AWS.RoleARN != "" {
		detail = "the organisation's role is assumed, for " + w.account.region
	}
	if creds.CanExpire {
		detail += fmt.Sprintf(", good until %s", creds.Expires.UTC().Format(time.RFC3339))
	}
	return detail, nil
}

// instance and endpoint drop their cached entries, which may be wrong.
func (w *walk) instance(ctx context.Context) (string, error) {
	if w.target.Spec.PrivateIP != "" && w.target.Spec.EndpointID != "" {
		return "not asked for: its address and its endpoint are given", nil
	}
	w.instances.drop(w.instanceKey())
	i, _, err := w.findInstance(ctx)
	if err != nil {
		return "", err
	}
	w.found.instance = i
	return fmt.Sprintf("%s, with the address %s", i.State, i.address()), nil
}

func (w *walk) endpoint(ctx context.Context) (string, error) {
	w.endpoints.drop(w.vpcKey(w.found.instance.VPC))
	f, err := w.find(ctx)
	if err != nil {
		return "", err
	}
	detail := fmt.Sprintf("%s, %s; this server holds %d of its %d tunnels", f.endpoint.ID, strings.ReplaceAll(f.endpoint.State, "-", " "),
		w.places.held(f.endpoint.ID), limits.TunnelsPerEndpoint)
	if w.places.isFull(f.endpoint.ID) {
		detail += ", and none is free"
	}
	return detail, nil
}
