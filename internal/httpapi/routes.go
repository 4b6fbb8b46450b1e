package httpapi

import (
	"net/http"
	"slices"
)

// route is one method of one path.
type route struct {
	method, pattern string
	// public routes are answered without a token.
	public bool
	// everywhere: also to who is of another organisation than the server's only one.
	everywhere bool
	// acts: it begins something on a machine, or goes on for as long as the caller likes.
	acts bool
	// body says what becomes of a request's body.
	body   bodyKind
	handle func(*call) error
}

// bodyKind is what becomes of a request's body.
type bodyKind int

// A body is ignored, or is read as JSON within its bounds before anything is done, or, for
// what is too large for that, is read by the handler as it needs it. A form is either: JSON,
// or files.
const (
	bodyNone bodyKind = iota
	bodyJSON
	bodyStream
	bodyForm
)

// routes is the only list of paths. Who may use each is said in package policy,
// and asked by the gateway.
func routes() []route {
	return slices.Concat(execRoutes(), recordingRoutes(), []route{
		{method: http.MethodGet, pattern: "/healthz", public: true, everywhere: true, handle: (*call).healthz},
		{method: http.MethodGet, pattern: "/readyz", public: true, everywhere: true, handle: (*call).readyz},
		{method: http.MethodGet, pattern: "/metrics", public: true, everywhere: true, handle: (*call).metrics},
		{method: http.MethodGet, pattern: "/openapi.json", public: true, handle: (*call).openAPI},
		{method: http.MethodGet, pattern: "/docs", public: true, handle: (*call).docs},

		{method: http.MethodGet, pattern: "/session", handle: (*call).session},
		{method: http.MethodPost, pattern: "/session", body: bodyJSON, handle: (*call).openSession},
		{method: http.MethodDelete, pattern: "/session", handle: (*call).closeSession},

		{method: http.MethodGet, pattern: "/ca", handle: (*call).caKeys},

		{method: http.MethodPost, pattern: "/orgs", body: bodyJSON, handle: (*call).createOrg},
		{method: http.MethodGet, pattern: "/orgs", handle: (*call).listOrgs},
		{method: http.MethodGet, pattern: "/orgs/{org}", handle: (*call).getOrg},
		{method: http.MethodPatch, pattern: "/orgs/{org}", body: bodyJSON, handle: (*call).updateOrg},
		{method: http.MethodDelete, pattern: "/orgs/{org}", handle: (*call).deleteOrg},
		{method: http.MethodPost, pattern: "/orgs/{org}/tokens", body: bodyJSON, handle: (*call).createToken},
		{method: http.MethodGet, pattern: "/orgs/{org}/tokens", handle: (*call).listTokens},
		{method: http.MethodDelete, pattern: "/orgs/{org}/tokens/{token}", handle: (*call).revokeToken},
		{method: http.MethodGet, pattern: "/orgs/{org}/ca", handle: (*call).caKeys},
		{method: http.MethodPost, pattern: "/orgs/{org}/ca/rotate", body: bodyJSON, handle: (*call).rotateCA},
		{method: http.MethodGet, pattern: "/orgs/{org}/instances", handle: (*call).orgInstances},
		{method: http.MethodGet, pattern: "/orgs/{org}/activity", handle: (*call).orgActivity},
		{method: http.MethodGet, pattern: "/orgs/{org}/events", acts: true, handle: (*call).orgEvents},

		{method: http.MethodPost, pattern: "/workspaces", body: bodyJSON, handle: (*call).createWorkspace},
		{method: http.MethodGet, pattern: "/workspaces", handle: (*call).listWorkspaces},
		{method: http.MethodGet, pattern: "/workspaces/{workspace}", handle: (*call).getWorkspace},
		{method: http.MethodPatch, pattern: "/workspaces/{workspace}", body: bodyJSON, handle: (*call).updateWorkspace},
		{method: http.MethodDelete, pattern: "/workspaces/{workspace}", handle: (*call).deleteWorkspace},
		{method: http.MethodGet, pattern: "/workspaces/{workspace}/connection", handle: (*call).workspaceConnection},
		{method: http.MethodPost, pattern: "/workspaces/{workspace}/diagnose", handle: (*call).diagnoseWorkspace},
		{method: http.MethodPost, pattern: "/workspaces/{workspace}/tokens", body: bodyJSON, handle: (*call).createToken},
		{method: http.MethodGet, pattern: "/workspaces/{workspace}/tokens", handle: (*call).listTokens},
		{method: http.MethodDelete, pattern: "/workspaces/{workspace}/tokens/{token}", handle: (*call).revokeToken},
		{method: http.MethodGet, pattern: "/workspaces/{workspace}/activity", handle: (*call).workspaceActivity},
		{method: http.MethodGet, pattern: "/workspaces/{workspace}/events", acts: true, handle: (*call).workspaceEvents},

		{method: http.MethodGet, pattern: "/workspaces/{workspace}/terminal", acts: true, handle: admitted((*call).terminal)},
		{method: http.MethodGet, pattern: "/workspaces/{workspace}/terminals", handle: (*call).listTerminals},
		{method: http.MethodGet, pattern: "/workspaces/{workspace}/terminals/{terminal}", handle: (*call).getTerminal},
		{method: http.MethodDelete, pattern: "/workspaces/{workspace}/terminals/{terminal}", acts: true, handle: (*call).endTerminal},
		{method: http.MethodGet, pattern: "/workspaces/{workspace}/forward", acts: true, handle: admitted((*call).forward)},
		{method: http.MethodGet, pattern: "/workspaces/{workspace}/forwards", handle: (*call).listForwards},
		{method: http.MethodGet, pattern: "/workspaces/{workspace}/forwards/{forward}", handle: (*call).getForward},
		{method: http.MethodDelete, pattern: "/workspaces/{workspace}/forwards/{forward}", acts: true, handle: (*call).endForward},

		{method: http.MethodGet, pattern: "/workspaces/{workspace}/files", acts: true, handle: admitted((*call).listFiles)},
		{method: http.MethodGet, pattern: "/workspaces/{workspace}/files/{path...}", acts: true, handle: admitted((*call).getFile)},
		{method: http.MethodPut, pattern: "/workspaces/{workspace}/files/{path...}", body: bodyStream, acts: true, handle: admitted((*call).putFile)},
		{method: http.MethodPatch, pattern: "/workspaces/{workspace}/files/{path...}", body: bodyJSON, acts: true, handle: admitted((*call).changeFile)},
		{method: http.MethodDelete, pattern: "/workspaces/{workspace}/files/{path...}", acts: true, handle: admitted((*call).deleteFile)},
		{method: http.MethodPost, pattern: "/workspaces/{workspace}/files/{path...}", body: bodyJSON, acts: true, handle: admitted((*call).actOnFile)},

		{method: http.MethodPost, pattern: "/workspaces/{workspace}/attachments", body: bodyForm, acts: true, handle: admitted((*call).createAttachments)},
		{method: http.MethodGet, pattern: "/workspaces/{workspace}/attachments", handle: (*call).listAttachments},
		{method: http.MethodGet, pattern: "/workspaces/{workspace}/attachments/{attachment}", handle: (*call).getAttachment},
		{method: http.MethodDelete, pattern: "/workspaces/{workspace}/attachments/{attachment}", acts: true, handle: admitted((*call).deleteAttachment)},
		{method: http.MethodGet, pattern: "/workspaces/{workspace}/attachments/{attachment}/content", acts: true, handle: admitted((*call).attachmentContent)},

		{method: http.MethodGet, pattern: "/activity", handle: (*call).allActivity},
	})
}

// execRoutes are those of execs.
func execRoutes() []route {
	return []route{
		{method: http.MethodPost, pattern: "/workspaces/{workspace}/exec", body: bodyJSON, acts: true, handle: (*call).exec},
		{method: http.MethodGet, pattern: "/workspaces/{workspace}/exec", acts: true, handle: admitted((*call).execSocket)},
		{method: http.MethodGet, pattern: "/workspaces/{workspace}/execs", handle: (*call).listExecs},
		{method: http.MethodGet, pattern: "/workspaces/{workspace}/execs/{exec}", handle: (*call).getExec},
		{method: http.MethodDelete, pattern: "/workspaces/{workspace}/execs/{exec}", acts: true, handle: admitted((*call).deleteExec)},
		{method: http.MethodGet, pattern: "/workspaces/{workspace}/execs/{exec}/output", acts: true, handle: admitted((*call).execOutput)},
		{method: http.MethodPost, pattern: "/workspaces/{workspace}/execs/{exec}/signal", body: bodyJSON, acts: true, handle: (*call).signalExec},
	}
}

// recordingRoutes are those of recordings.
func recordingRoutes() []route {
	return []route{
		{method: http.MethodGet, pattern: "/workspaces/{workspace}/recordings", handle: (*call).listRecordings},
		{method: http.MethodGet, pattern: "/workspaces/{workspace}/recordings/{terminal}", acts: true, handle: (*call).getRecording},
		{method: http.MethodDelete, pattern: "/workspaces/{workspace}/recordings/{terminal}", handle: (*call).deleteRecording},
		{method: http.MethodGet, pattern: "/orgs/{org}/recordings", handle: (*call).listRecordings},
		{method: http.MethodGet, pattern: "/orgs/{org}/recordings/{terminal}", acts: true, handle: (*call).getRecording},
		{method: http.MethodDelete, pattern: "/orgs/{org}/recordings/{terminal}", handle: (*call).deleteRecording},
	}
}
