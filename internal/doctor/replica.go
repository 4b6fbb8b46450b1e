package doctor

import (
	"context"
	"net/netip"
	"net/url"

	"sallyport/internal/config"
	"sallyport/internal/datadir"
	"sallyport/internal/peer"
)

// replica looks whether the other servers on the same database can ask this one.
func (d *doctor) replica(ctx context.Context) {
	const check = "replica"
	const name = "replica.listen and replica.url"
	at, err := url.Parse(d.cfg.Replica.URL)
	switch isShared, isSet := d.cfg.Store.URL != "", d.cfg.Replica.URL != ""; {
	case !isShared && isSet:
		d.warn(check, "set store.url, or leave them out", "%s do nothing: store.url names no PostgreSQL, so that there are no other servers", name)
	case !isShared:
	case !isSet:
		d.warn(check, "set "+name+" on every server: docs/replicas.md", "the other servers on the database can't ask this one for what it holds: %s are not set", name)
	case err != nil: // it was checked
		d.fail(check, "look at replica.url", "%s", err)
	case isOwn(at.Hostname()):
		d.warn(check, "name an address that the other servers reach", "replica.url is %s: no other machine reaches that", d.cfg.Replica.URL)
	case !d.held:
		d.listen(check, d.cfg.Replica.Listen, "choose another for replica.listen")
	default:
		d.askReplica(ctx, check, at)
	}
}

// askReplica looks whether the server that runs is reached where others look for it.
func (d *doctor) askReplica(ctx context.Context, check string, at *url.URL) {
	if at.Port() == "0" {
		d.ok(check, "%s: the server chose a port at its start", at)
		return
	}
	path := d.cfg.Keys.SealFile
	if path == "" {
		path = datadir.SealFile(d.cfg.DataDir)
	}
	seal, err := config.ReadSeal(path)
	if err != nil {
		d.fail(check, d.asItsOwner(), "%s: %s", path, err)
		return
	}
	seeds, err := seal.Derive(peer.SeedPurpose)
	var authority *peer.Authority
	if err == nil {
		authority, err = peer.NewAuthority(seeds)
	}
	if err == nil {
		err = peer.Check(ctx, at, authority)
	}
	if err != nil {
		d.warn(check, "see that replica.url leads to replica.listen, and that every server has the same seal", "%s: no server of this seal answers: %s", at, err)
		return
	}
	d.ok(check, "%s leads to a server with the same seal", at)
}

// isOwn tells whether a host is this machine alone to everyone. A name is not looked up.
func isOwn(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && (ip.Unmap().IsLoopback() || ip.IsUnspecified())
}
