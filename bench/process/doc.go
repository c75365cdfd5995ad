// Package process runs programs beside the one that measures or breaks them. It imports
// nothing of RLAPP; bench and faults import it.
package process
