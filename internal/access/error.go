package access

import (
	"errors"

	"sallyport/client/sallyport"
	"sallyport/internal/store"
)

// Organisation, Workspace and Token are what NotFound and StoreError call records.
const (
	Organisation = "organisation"
	Workspace    = "workspace"
	Token        = "token"
)

// WorkspaceNotFound returns workspace_not_found.
func WorkspaceNotFound() error {
	return sallyport.Errorf(sallyport.CodeWorkspaceNotFound, "no such workspace")
}

// NotFound returns not_found for a record, of a workspace workspace_not_found.
func NotFound(what string) error {
	if what == Workspace {
		return WorkspaceNotFound()
	}
	return sallyport.Errorf(sallyport.CodeNotFound, "no such %s", what)
}

// Unavailable returns platform_unavailable for a store that can't answer.
func Unavailable(cause error) error {
	return sallyport.Errorf(sallyport.CodePlatformUnavailable, "the store can't answer now; try again in a moment").Because(cause)
}

// StoreError gives a store's error about a record its code; nil stays nil.
func StoreError(err error, what string) error {
	var known *sallyport.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.Is(err, store.ErrNotFound):
		return NotFound(what)
	case errors.Is(err, store.ErrConflict):
		return sallyport.Errorf(sallyport.CodeNameTaken, "the name is in use by another %s", what)
	case errors.Is(err, store.ErrNotEmpty):
		return sallyport.Errorf(sallyport.CodeOrgNotEmpty, "the organisation still has workspaces; delete them first")
	}
	return Unavailable(err)
}
