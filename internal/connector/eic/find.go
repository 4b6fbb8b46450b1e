package eic

import (
	"cmp"
	"context"
	"time"

	"sallyport/internal/limits"
)

// find finds the instance, unless all is given, and the endpoint to it.
func (d *dial) find(ctx context.Context) (found, error) {
	spec := d.target.Spec
	f := found{instance: instance{ID: spec.InstanceID, PrivateIP: spec.PrivateIP}}
	if spec.PrivateIP == "" || spec.EndpointID == "" {
		var err error
		if f.instance, f.isCached, err = d.findInstance(ctx); err != nil {
			return found{}, err
		}
	}
	all, isCached, err := d.findEndpoints(ctx, f.instance.VPC)
	if err != nil {
		return found{}, err
	}
	f.isCached = f.isCached || isCached
	chosen := f.instance
	chosen.PrivateIP = cmp.Or(spec.PrivateIP, chosen.PrivateIP)
	var ok bool
	if f.endpoint, ok = choose(all, chosen); !ok {
		return found{}, &fault{class: noEndpoint, action: describeEndpoints, code: "none usable"}
	}
	f.endpoint.DNSName = d.name(ctx, f.endpoint, chosen)
	return f, nil
}

// name is the endpoint's DNS name: the one for FIPS where that is asked for, the one for
// dual stack where only IPv6 leads to the machine and the endpoint has one.
func (d *dial) name(ctx context.Context, e endpoint, i instance) string {
	switch {
	case d.account.isSet(ctx, wantsFIPS) && e.FIPSDNSName != "":
		return e.FIPSDNSName
	case d.account.isSet(ctx, wantsDualStack) && e.DualStackName != "", e.DNSName == "":
		return e.DualStackName
	}
	return e.DNSName
}

func (d *dial) instanceKey() instanceKey {
	return instanceKey{accountKey{d.account.region, d.target.AWS}, d.target.Spec.InstanceID}
}

// findInstance finds an instance that runs. One that doesn't is asked for again at once.
func (d *dial) findInstance(ctx context.Context) (instance, bool, error) {
	return d.instances.get(ctx, d.instanceKey(), func(ctx context.Context) (instance, time.Duration, error) {
		i, err := d.account.instance(ctx, d.target.Spec.InstanceID)
		if err != nil {
			return i, 0, err
		}
		if class, isDown := i.downClass(); isDown {
			return i, 0, &fault{class: class, action: describeInstances, code: cmp.Or(i.State, "no state")}
		}
		life := limits.InstanceMemoryTime
		if d.accounts.now().Sub(i.LaunchTime) < limits.InstanceYoungTime {
			life = limits.YoungMemoryTime
		}
		return i, life, nil
	})
}

// downClass tells whether an instance can't be reached as it is, and what that means.
func (i instance) downClass() (class, bool) {
	switch {
	case i.State == "pending":
		return pending, true
	case i.State == "terminated":
		return gone, true
	case i.State != "running", i.address() == "":
		return notRunning, true
	}
	return 0, false
}

// findEndpoints finds the endpoints of a VPC, or the one that is given. That there is
// none is remembered too, for seconds.
func (d *dial) findEndpoints(ctx context.Context, vpc string) ([]endpoint, bool, error) {
	return d.endpoints.get(ctx, d.vpcKey(vpc), func(ctx context.Context) ([]endpoint, time.Duration, error) {
		all, err := d.account.endpoints(ctx, vpc, d.target.Spec.EndpointID)
		kind, _ := classOf(err)
		switch {
		case err != nil && kind != noEndpoint:
			return nil, 0, err
		case len(all) == 0, err != nil:
			return nil, limits.NoEndpointMemoryTime, err
		}
		life := limits.EndpointMemoryTime
		if _, ok := choose(all, instance{}); !ok {
			life = limits.NoEndpointMemoryTime
		}
		return all, life, nil
	})
}

func (d *dial) vpcKey(vpc string) vpcKey {
	key := vpcKey{account: accountKey{d.account.region, d.target.AWS}, vpc: vpc, id: d.target.Spec.EndpointID}
	if key.id != "" {
		key.vpc = ""
	}
	return key
}

// forget lets go of what is remembered of the way.
func (d *dial) forget() {
	d.instances.drop(d.instanceKey())
	d.endpoints.drop(d.vpcKey(d.found.instance.VPC))
}
