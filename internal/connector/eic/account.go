package eic

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"sallyport/client/sallyport"
	"sallyport/internal/limits"
)

// account is AWS in one region, with one set of credentials: the server's own, or those
// of a role that it assumes. It is safe for concurrent use.
type account struct {
	region string
	creds  *aws.CredentialsCache
	http   *http.Client
	// source reads the environment and the shared configuration.
	source aws.Config
	now    func() time.Time
	calls  *calls

	mu       sync.Mutex // guards renewals
	renewals int        // how often the credentials were given up
}

// accounts are those that were used last.
type accounts struct {
	region string           // of connectors that name none
	now    func() time.Time // of signatures
	calls  calls

	mu     sync.Mutex // guards the fields below
	source *aws.Config
	http   *http.Client
	known  map[accountKey]*account
	order  []accountKey // the one used longest ago first
}

// accountKey is all that an account depends on.
type accountKey struct {
	region string
	role   sallyport.OrgAWS
}

// of returns the account for a region and an organisation's role. It fails where AWS
// is not configured at all, or no region is named.
func (a *accounts) of(ctx context.Context, region string, role sallyport.OrgAWS) (*account, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.load(ctx); err != nil {
		return nil, &fault{class: credentials, action: "load the AWS configuration", err: err}
	}
	region = cmp.Or(region, a.region, a.source.Region)
	if region == "" {
		return nil, &fault{class: configuration, action: "choose a region", say: "no AWS region is known: set connector.region, or the server's eic.region"}
	}
	key := accountKey{region, role}
	if known := a.known[key]; known != nil {
		a.touch(key)
		return known, nil
	}
	made := a.make(key)
	if len(a.order) >= limits.AWSAccountsMax {
		delete(a.known, a.order[0])
		a.order = a.order[1:]
	}
	a.known[key], a.order = made, append(a.order, key)
	return made, nil
}

// load reads the SDK's configuration, once: files and variables, nothing of the network.
func (a *accounts) load(ctx context.Context) error {
	if a.source != nil {
		return nil
	}
	cfg, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(awshttp.NewBuildableClient()))
	if err != nil {
		return err
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	if b, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok {
		transport = b.GetTransport() // a copy, with what AWS_CA_BUNDLE trusts
	}
	transport.MaxIdleConnsPerHost = limits.AWSConnectionsIdleMax
	a.http = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	cfg.HTTPClient = a.http
	a.source, a.known = &cfg, map[accountKey]*account{}
	return nil
}

// make makes an account. accounts.mu is held.
func (a *accounts) make(key accountKey) *account {
	provider := a.source.Credentials
	if key.role.RoleARN != "" {
		cfg := a.source.Copy()
		cfg.Region = key.region
		provider = stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), key.role.RoleARN, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = "sallyport"
			if key.role.ExternalID != "" {
				o.ExternalID = &key.role.ExternalID
			}
		})
	}
	cache, ok := provider.(*aws.CredentialsCache)
	if !ok {
		cache = aws.NewCredentialsCache(provider, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = limits.AWSCredentialsSpare })
	}
	return &account{region: key.region, creds: cache, http: a.http, source: *a.source, now: a.now, calls: &a.calls}
}

func (a *accounts) touch(key accountKey) {
	for i, k := range a.order {
		if k == key {
			a.order = append(append(a.order[:i:i], a.order[i+1:]...), key)
			return
		}
	}
}

// close lets go of idle connections.
func (a *accounts) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.http != nil {
		a.http.CloseIdleConnections()
	}
}

// renewed counts how often the credentials were given up.
func (a *account) renewed() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.renewals
}

// renew gives the credentials up, unless another request has done so since they were
// given up seen times: their refusals were meant for the ones before.
func (a *account) renew(seen int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.renewals == seen {
		a.creds.Invalidate()
		a.renewals++
	}
}

// retrieve returns credentials that are good for a while.
func (a *account) retrieve(ctx context.Context) (aws.Credentials, error) {
	creds, err := a.creds.Retrieve(ctx)
	if err == nil {
		return creds, nil
	}
	err = plainCause(err)
	var api interface{ ErrorCode() string }
	if errors.As(err, &api) {
		f := &fault{class: codeClass(api.ErrorCode(), 0), action: "sts:AssumeRole", code: api.ErrorCode()}
		if f.class == configuration {
			f.class = credentials
		}
		var response interface{ ServiceRequestID() string }
		if errors.As(err, &response) {
			f.requestID = response.ServiceRequestID()
		}
		return creds, f
	}
	return creds, &fault{class: credentials, action: "find AWS credentials", err: err}
}

// service is one of AWS's, as its names go.
type service struct {
	name  string // in host names and signatures
	sdkID string // in AWS_ENDPOINT_URL_… and the services section of the shared configuration
}

func ec2Service() service  { return service{"ec2", "EC2"} }
func pushService() service { return service{"ec2-instance-connect", "EC2 Instance Connect"} }

// url is where a service is: where the environment or the shared configuration say, or
// AWS's own address. See "Service-specific endpoints" in the AWS SDKs reference guide.
func (a *account) url(ctx context.Context, s service) (string, error) {
	if configured, err := a.configuredURL(ctx, s); err != nil || configured != "" {
		return configured, err
	}
	suffix, name := "amazonaws.com", s.name
	switch {
	case strings.HasPrefix(a.region, "cn-"):
		suffix = "amazonaws.com.cn"
	case strings.HasPrefix(a.region, "eusc-"):
		suffix = "amazonaws.eu"
	}
	if a.isSet(ctx, wantsDualStack) && !strings.HasPrefix(a.region, "cn-") {
		suffix = "api.aws"
	}
	if a.isSet(ctx, wantsFIPS) {
		name += "-fips"
	}
	return fmt.Sprintf("https://%s.%s.%s", name, a.region, suffix), nil
}

func (a *account) configuredURL(ctx context.Context, s service) (string, error) {
	for _, source := range a.source.ConfigSources {
		if c, ok := source.(interface {
			GetIgnoreConfiguredEndpoints(context.Context) (bool, bool, error)
		}); ok {
			if ignore, found, err := c.GetIgnoreConfiguredEndpoints(ctx); found && ignore || err != nil {
				return "", err
			}
		}
	}
	for _, source := range a.source.ConfigSources {
		if c, ok := source.(interface {
			GetServiceBaseEndpoint(ctx context.Context, sdkID string) (string, bool, error)
		}); ok {
			if url, found, err := c.GetServiceBaseEndpoint(ctx, s.sdkID); found || err != nil {
				return strings.TrimRight(url, "/"), err
			}
		}
	}
	return strings.TrimRight(aws.ToString(a.source.BaseEndpoint), "/"), nil
}

// isSet asks the configuration's sources, the first that knows counts.
func (a *account) isSet(ctx context.Context, ask func(ctx context.Context, source any) (set, found bool)) bool {
	for _, source := range a.source.ConfigSources {
		if set, found := ask(ctx, source); found {
			return set
		}
	}
	return false
}

func wantsFIPS(ctx context.Context, source any) (set, found bool) {
	c, ok := source.(interface {
		GetUseFIPSEndpoint(context.Context) (aws.FIPSEndpointState, bool, error)
	})
	if !ok {
		return false, false
	}
	state, found, err := c.GetUseFIPSEndpoint(ctx)
	return state == aws.FIPSEndpointStateEnabled, found && err == nil
}

func wantsDualStack(ctx context.Context, source any) (set, found bool) {
	c, ok := source.(interface {
		GetUseDualStackEndpoint(context.Context) (aws.DualStackEndpointState, bool, error)
	})
	if !ok {
		return false, false
	}
	state, found, err := c.GetUseDualStackEndpoint(ctx)
	return state == aws.DualStackEndpointStateEnabled, found && err == nil
}
