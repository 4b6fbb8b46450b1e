package server

import (
	"context"
	"fmt"
	"net"
	"net/url"

	"sallyport/internal/cluster"
	"sallyport/internal/httpapi"
	"sallyport/internal/limits"
	"sallyport/internal/peer"
)

// joinPeers makes this server one of several: it takes their notices, and completes
// the execs of replicas whose lease has expired, until it is closed.
func (s *server) joinPeers(ctx context.Context) error {
	if s.replica == nil {
		return nil
	}
	s.replica.Lost, s.replica.Adopt, s.replica.Recheck = s.gateway.LoseExecs, s.gateway.Recover, s.gateway.Recheck
	s.gateway.Holds = s.replica.Holds
	c := &cluster.Cluster{Bus: s.bus, Replica: s.replica, Gateway: s.gateway, Log: s.log, Now: now}
	direct, err := s.openPeer(ctx, c.Handlers())
	if err != nil {
		return err
	}
	c.Peer, s.gateway.Peers = direct, c
	stopListening, err := c.Listen()
	if err != nil {
		return err
	}
	s.onClose(func() error { stopListening(); return nil })
	s.beside(ctx, c.Run)
	return nil
}

// beside runs f beside all else, until the server is closed, which ends f's context.
func (s *server) beside(ctx context.Context, f func(context.Context)) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f(ctx)
	}()
	s.onClose(func() error {
		stop()
		<-ended
		return nil
	})
}

// openPeer lets this server ask others, and be asked where it has an address for that, until
// it is closed.
func (s *server) openPeer(ctx context.Context, handlers map[string]peer.Handler) (*peer.Peer, error) {
	seeds, err := s.ca.Seal.Derive(peer.SeedPurpose)
	if err != nil {
		return nil, fmt.Errorf("derive the replicas' certificates from the seal: %w", err)
	}
	authority, err := peer.NewAuthority(seeds)
	if err != nil {
		return nil, err
	}
	connections := &httpapi.Connections{Most: limits.PeerConnectionsMax, Log: s.log}
	direct := peer.New(context.WithoutCancel(ctx), peer.Options{
		Replica: s.replica.ID, Authority: authority, Leases: s.store, Log: s.log, ConnState: connections.State,
		Handlers: handlers,
	})
	ended := make(chan error, 1)
	if s.peerListener == nil {
		ended <- nil
	} else {
		go func() {
			err := direct.Serve(connections.Listen(s.peerListener))
			if err != nil {
				s.log.Error("other servers can't ask this one any more", "error", err)
			}
			ended <- err
		}()
	}
	s.onClose(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), limits.ShutdownTime)
		defer cancel()
		_ = direct.Close(ctx) // what was not done in time is given up
		return <-ended
	})
	return direct, nil
}

// listenForPeers takes the address for the other servers, if there can be any and the
// configuration has one.
func (s *server) listenForPeers() error {
	if s.cfg.Store.URL == "" || s.cfg.Replica.Listen == "" {
		return nil
	}
	listener, err := s.take(s.cfg.Replica.Listen, "choose another address for "+"replica.listen")
	if err != nil {
		return err
	}
	at, err := url.Parse(s.cfg.Replica.URL)
	if err != nil {
		return fmt.Errorf("replica.url: %w", err) // it was checked
	}
	if at.Port() == "0" {
		_, port, err := net.SplitHostPort(listener.Addr().String())
		if err != nil {
			return err
		}
		at.Host = net.JoinHostPort(at.Hostname(), port)
	}
	s.peerListener, s.peerURL = listener, at.String()
	return nil
}
