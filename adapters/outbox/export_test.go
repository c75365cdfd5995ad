package outbox

// PendingRows is the statement that reads the outbox.
const PendingRows = pendingRows

// SweepAfter has the outbox vacuumed after fewer rows of a backlog.
func SweepAfter(s *Subscriber, rows int) { s.sweep.after = rows }
