package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"sallyport/client/sallyport"
	"sallyport/internal/id"
	"sallyport/internal/identity"
	"sallyport/internal/store"
)

// shownCharsMax bounds a value, or the name of a key, in an error.
const shownCharsMax = 100

// FlagError is about a value that was given as a flag: the program was used
// wrongly, where a file or the environment would be at fault.
type FlagError struct{ error }

// Unwrap returns the cause.
func (e *FlagError) Unwrap() error { return e.error }

// fault returns the sentence that says what is wrong with a value: a *FlagError if
// it came as a flag.
func (k key) fault(v value, err error) error {
	sentence := k.sentence(v, err)
	if strings.HasPrefix(v.source, sourceFlag) {
		return &FlagError{sentence}
	}
	return sentence
}

func (k key) sentence(v value, err error) error {
	if k.secret {
		return fmt.Errorf("%s (%s): %w", k.name, v.where(), err)
	}
	return fmt.Errorf("%s is %s (%s): %w", k.name, quote(v.String()), v.where(), err)
}

// quote shows a value in an error, up to its first blank: a line of YAML that
// lacks its colon continues the value above it, and that line may be a secret's.
func quote(s string) string {
	shown := s
	if i := strings.IndexFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }); i >= 0 {
		shown = s[:i]
	}
	if len(shown) > shownCharsMax {
		shown = strings.ToValidUTF8(shown[:shownCharsMax], "")
	}
	if shown != s {
		return strconv.Quote(shown) + "…"
	}
	return strconv.Quote(shown)
}

// keep accepts a value that is looked at elsewhere.
func keep(*Config, value) error { return nil }

func setString(field func(*Config) *string) func(*Config, value) error {
	return func(c *Config, v value) error {
		*field(c) = v.text
		return nil
	}
}

func setBool(field func(*Config) *bool) func(*Config, value) error {
	return func(c *Config, v value) error {
		b, err := strconv.ParseBool(v.text)
		if err != nil {
			return errors.New("it takes true or false")
		}
		*field(c) = b
		return nil
	}
}

func setInteger[T int | int64](field func(*Config) *T, least, most T) func(*Config, value) error {
	return func(c *Config, v value) error {
		n, err := strconv.ParseInt(v.text, 10, 64)
		if err != nil || n < int64(least) || n > int64(most) {
			return fmt.Errorf("it takes an integer from %d to %d", least, most)
		}
		*field(c) = T(n)
		return nil
	}
}

func setDuration(field func(*Config) *time.Duration, least, most time.Duration) func(*Config, value) error {
	return func(c *Config, v value) error {
		if _, err := strconv.ParseFloat(v.text, 64); err == nil {
			return errors.New("a duration needs a unit, such as 30s, 5m or 250ms")
		}
		d, err := time.ParseDuration(v.text)
		if err != nil {
			return errors.New("it takes a duration, such as 30s, 5m or 250ms")
		}
		if d < least || d > most {
			return fmt.Errorf("it takes %s to %s", least, most)
		}
		*field(c) = d
		return nil
	}
}

// setRegion accepts the characters of a host name's label.
func setRegion(c *Config, v value) error {
	if v.text != "" && !regexp.MustCompile(sallyport.AWSRegionPattern).MatchString(v.text) {
		return errors.New("it takes a region, such as us-east-2")
	}
	c.EIC.Region = v.text
	return nil
}

func setOnlyOrg(c *Config, v value) error {
	if v.text != "" && !id.Is(v.text) {
		return errors.New("it takes an organisation's id, as `sallyport orgs list` shows it")
	}
	c.OnlyOrg = v.text
	return nil
}

func setTunnelEndpoint(c *Config, v value) error {
	if v.text == "" {
		c.EIC.TunnelEndpoint = nil
		return nil
	}
	const want = "it takes a scheme, a host and a port, such as wss://tunnels.example:443"
	u, err := url.Parse(v.text)
	if err != nil || !slices.Contains([]string{"ws", "wss", "http", "https"}, u.Scheme) || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return errors.New(want)
	}
	if host, port, err := net.SplitHostPort(u.Host); err != nil || host == "" || port == "" {
		return errors.New(want)
	}
	c.EIC.TunnelEndpoint = u
	return nil
}

// setListen checks the form; the host is checked once all keys are known.
func setListen(c *Config, v value) error {
	c.Listen = v.text
	return checkAddress(v.text, "127.0.0.1:8080")
}

func setReplicaListen(c *Config, v value) error {
	c.Replica.Listen = v.text
	if v.text == "" {
		return nil
	}
	return checkAddress(v.text, "192.0.2.5:7443")
}

func setReplicaURL(c *Config, v value) error {
	c.Replica.URL = v.text
	if v.text == "" {
		return nil
	}
	u, err := url.Parse(v.text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return errors.New("it takes https://, a host and a port, such as https://192.0.2.5:7443")
	}
	return nil
}

func setMetricsListen(c *Config, v value) error {
	c.MetricsListen = v.text
	if v.text == "" {
		return nil
	}
	return checkAddress(v.text, "127.0.0.1:9464")
}

func checkAddress(text, example string) error {
	host, port, err := net.SplitHostPort(text)
	if err != nil || strings.ContainsFunc(host, unicode.IsSpace) {
		return errors.New("it takes HOST:PORT, such as " + example)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return errors.New("the port is a number from 0 to 65535")
	}
	return nil
}

// setNetworks takes a list of addresses and networks.
func setNetworks(field func(*Config) *[]netip.Prefix) func(*Config, value) error {
	return func(c *Config, v value) error {
		var networks []netip.Prefix
		for _, item := range v.items {
			prefix, err := parsePrefix(item)
			if err != nil {
				return err
			}
			networks = append(networks, prefix)
		}
		*field(c) = networks
		return nil
	}
}

// parsePrefix reads an address or a network. An IPv4 one mapped into IPv6 is
// taken for what it is, since it would match nothing as it is written.
func parsePrefix(s string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(s)
	if addr, addrErr := netip.ParseAddr(s); addrErr == nil && addr.Zone() == "" {
		prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%s is no address and no network; they look like 192.0.2.5 and 192.0.2.128/25", quote(s))
	}
	if addr := prefix.Addr(); addr.Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(addr.Unmap(), prefix.Bits()-96)
	}
	// Whoever writes 192.0.2.5/8 may have meant the one address, and would trust
	// sixteen million.
	if prefix != prefix.Masked() {
		return netip.Prefix{}, fmt.Errorf("%s is an address within a network: write %s or %s", quote(s), prefix.Addr(), prefix.Masked())
	}
	return prefix, nil
}

// setStoreURL never shows the URL: it may hold a password.
func setStoreURL(c *Config, v value) error {
	scheme, _, _ := strings.Cut(v.text, "://")
	if v.text != "" && !strings.EqualFold(scheme, "postgres") && !strings.EqualFold(scheme, "postgresql") {
		return errors.New("it takes a postgres:// URL, or nothing for SQLite in data_dir")
	}
	if err := store.CheckURL(v.text); err != nil {
		return err
	}
	c.Store.URL = v.text
	return nil
}

// setBusURL never shows the URL either.
func setBusURL(c *Config, v value) error {
	for _, one := range strings.Split(v.text, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if v.text != "" && (err != nil || u.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme)) {
			return errors.New("it takes nats:// or tls:// URLs, comma-separated, or nothing for a NATS server within this one")
		}
	}
	c.BusURL = v.text
	return nil
}

func setAdminToken(c *Config, v value) error {
	c.AdminTokenHash = nil
	if v.text == "" {
		return nil
	}
	hash, err := adminHash(v.text)
	if err != nil {
		return err
	}
	c.AdminTokenHash = &hash
	return nil
}

// adminHash is identity.AdminHash, without the name of the key in its error.
func adminHash(token string) ([32]byte, error) {
	hash, err := identity.AdminHash(token)
	if err != nil {
		err = errors.New(strings.TrimPrefix(err.Error(), keyAdminToken+": "))
	}
	return hash, err
}

func setLogLevel(c *Config, v value) error {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, ok := levels[v.text]
	if !ok {
		return errors.New("it takes debug, info, warn or error")
	}
	c.Log.Level = level
	return nil
}

func setLogFormat(c *Config, v value) error {
	if v.text != "text" && v.text != "json" {
		return errors.New("it takes text or json")
	}
	c.Log.Format = v.text
	return nil
}
