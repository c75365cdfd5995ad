package outbox

// PendingRows is the statement that reads the outbox.
const PendingRows = pendingRows
