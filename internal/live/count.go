package live

import (
	"sallyport/client/sallyport"
	"sallyport/internal/store"
)

// counted is what is counted: the acts of a class, of an organisation or a workspace.
type counted struct {
	class store.Class
	id    string
}

// Count counts n acts more whose rows are running. An act is taken off the count before
// its row is completed: those counted here are always among those that the store counts.
func (l *Calls) Count(class store.Class, ws store.Workspace, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.recorded == nil {
		l.recorded = map[counted]int{}
	}
	for _, id := range []string{ws.OrgID, ws.ID} {
		of := counted{class, id}
		if l.recorded[of] += n; l.recorded[of] == 0 {
			delete(l.recorded, of)
		}
	}
}

// OverQuota says whose acts of the class that run here would be too many with one more.
func (l *Calls) OverQuota(class store.Class, ws store.Workspace, q store.Quota) store.QuotaVerdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.recorded[counted{class, ws.ID}] >= q.OfWorkspace:
		return store.WorkspaceFull
	case l.recorded[counted{class, ws.OrgID}] >= q.OfOrg:
		return store.OrgFull
	}
	return store.WithinQuota
}

// StreamLimits bounds the event streams that are open at once; 0 is no bound.
type StreamLimits struct{ PerToken, PerOrg int }

// EnterStream counts one event stream more of a token and of its organisation, until leave
// is called. The admin's token has no organisation. It returns too_many_streams.
func (l *Calls) EnterStream(tokenID, orgID string, most StreamLimits) (leave func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	token, org := "token/"+tokenID, "org/"+orgID
	switch {
	case most.PerToken > 0 && l.streams[token] >= most.PerToken:
		return nil, tooManyStreams("token", most.PerToken)
	case most.PerOrg > 0 && orgID != "" && l.streams[org] >= most.PerOrg:
		return nil, tooManyStreams("organisation", most.PerOrg)
	}
	if l.streams == nil {
		l.streams = map[string]int{}
	}
	l.streams[token]++
	l.streams[org]++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, of := range []string{token, org} {
			if l.streams[of]--; l.streams[of] == 0 {
				delete(l.streams, of)
			}
		}
	}, nil
}

func tooManyStreams(whose string, most int) error {
	return sallyport.Errorf(sallyport.CodeTooManyStreams, "the %s has as many event streams open as it may, %d; close one, then try again", whose, most)
}
