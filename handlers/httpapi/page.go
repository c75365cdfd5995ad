package httpapi

// page cuts rows of which one more was read than a page takes, and tells whether another
// page follows: one that is just full may be the last.
func page[T any](rows []T, limit int) (shown []T, more bool) {
	return rows[:min(limit, len(rows))], len(rows) > limit
}
