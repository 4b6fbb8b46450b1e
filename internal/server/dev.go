package server

import (
	"context"
	"errors"
	"fmt"

	"sallyport/client/sallyport"
	"sallyport/internal/audit"
	"sallyport/internal/config"
	"sallyport/internal/id"
	"sallyport/internal/identity"
	"sallyport/internal/principal"
	"sallyport/internal/store"
)

// What dev's organisation, its workspace and its token are called.
const (
	devName      = "dev"
	localName    = "local"
	devTokenName = "sallyport dev"
)

// bootstrap gives dev its organisation, its workspace and new tokens. A server
// of production needs nothing.
func (s *server) bootstrap(ctx context.Context) (Ready, error) {
	if s.cfg.Mode != config.ModeDev {
		return Ready{}, nil
	}
	admin := identity.Mint(principal.Admin)
	s.auth.Admin = &admin.Hash
	org, err := s.devOrg(ctx)
	if err != nil {
		return Ready{}, fmt.Errorf("organisation %s: %w", devName, err)
	}
	ws, err := s.devWorkspace(ctx, org)
	if err != nil {
		return Ready{}, fmt.Errorf("workspace %s: %w", localName, err)
	}
	token, err := s.devToken(ctx, org)
	if err != nil {
		return Ready{}, fmt.Errorf("token of organisation %s: %w", devName, err)
	}
	return Ready{AdminToken: admin.Secret, OrgID: org.ID, WorkspaceID: ws.ID, Token: token}, nil
}

func (s *server) devOrg(ctx context.Context) (store.Org, error) {
	org, err := s.store.Org(ctx, devName)
	if !errors.Is(err, store.ErrNotFound) {
		return org, err
	}
	org = store.Org{ID: id.New(), Name: devName, CreatedAt: now()}
	err = s.store.CreateOrg(ctx, org, s.devEvent(sallyport.ActivityOrgCreated, org.ID, "", "organisation dev created"))
	if err == nil {
		_, err = s.ca.Keys(ctx, org.ID) // makes its CA
	}
	return org, err
}

func (s *server) devWorkspace(ctx context.Context, org store.Org) (store.Workspace, error) {
	ws, err := s.store.Workspace(ctx, org.ID, localName)
	if !errors.Is(err, store.ErrNotFound) {
		return ws, err
	}
	at := now()
	ws = store.Workspace{
		ID: id.New(), OrgID: org.ID, Name: localName, Tier: sallyport.TierFullHost, Labels: map[string]string{},
		Connector: &sallyport.Connector{Type: sallyport.ConnectorLocal}, CreatedAt: at, UpdatedAt: at,
	}
	return ws, s.store.CreateWorkspace(ctx, ws, 0, s.devEvent(sallyport.ActivityWorkspaceCreated, org.ID, ws.ID, "workspace local created, tier 4"))
}

// devToken replaces the token of the start before, which nobody can have any more.
func (s *server) devToken(ctx context.Context, org store.Org) (string, error) {
	at := now()
	if err := s.store.RevokeTokensNamed(ctx, org.ID, devTokenName, at); err != nil {
		return "", err
	}
	minted := identity.Mint(principal.Org)
	token := store.Token{
		ID: id.New(), OrgID: org.ID, Name: devTokenName, Prefix: minted.Prefix, Hash: minted.Hash,
		Scopes: sallyport.AllScopes(), CreatedAt: at,
	}
	change := s.devEvent(sallyport.ActivityTokenCreated, org.ID, "", "token "+token.Prefix+" created: "+token.Name)
	return minted.Secret, s.store.CreateToken(ctx, token, 0, change)
}

// devEvent is a row for what dev sets up for itself: whoever starts it has the
// admin token.
func (s *server) devEvent(kind, orgID, workspaceID, summary string) store.ActivityChange {
	return s.gateway.Audit.Event(audit.Event{
		Type: kind, By: principal.Principal{Kind: principal.Admin}, OrgID: orgID, WorkspaceID: workspaceID, Summary: summary,
	})
}
