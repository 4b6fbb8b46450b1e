package gateway

import "sync"

// keyedLocks are locks by name, of which only those that somebody holds or waits for are
// kept.
type keyedLocks struct {
	mu   sync.Mutex // guards held
	held map[string]*keyedLock
}

type keyedLock struct {
	sync.Mutex
	users int
}

// lock waits for the lock of a name, and returns the function that releases it.
func (l *keyedLocks) lock(name string) (unlock func()) {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[string]*keyedLock{}
	}
	k := l.held[name]
	if k == nil {
		k = &keyedLock{}
		l.held[name] = k
	}
	k.users++
	l.mu.Unlock()
	k.Lock()
	return func() {
		k.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if k.users--; k.users == 0 {
			delete(l.held, name)
		}
	}
}
