package command

// Waiting is the number of commands that no commit has taken yet.
func (h *Handlers) Waiting() int {
	n := 0
	for _, l := range h.lanes {
		l.mu.Lock()
		n += len(l.waiting)
		l.mu.Unlock()
	}
	return n
}

// Cached is the number of queues and patients that are kept loaded.
func (h *Handlers) Cached() int {
	n := 0
	for _, l := range h.lanes {
		n += l.cache.size
	}
	return n
}

// Leading reports whether a commit is under way.
func (h *Handlers) Leading() bool {
	for _, l := range h.lanes {
		l.mu.Lock()
		led := l.led && len(l.waiting) == 0
		l.mu.Unlock()
		if led {
			return true
		}
	}
	return false
}
