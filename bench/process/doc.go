// Package process runs programs beside the one that measures or breaks them, and tells
// which build that is. It imports nothing of RLAPP; bench and faults import it.
package process
