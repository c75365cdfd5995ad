package waitingroom

import (
	"fmt"
	"strings"
)

// Priority orders the patients of a queue: a higher one is called first, and
// among equals the earlier check-in.
type Priority int

// The priorities from the least to the most pressing.
const (
	Low Priority = iota + 1
	Medium
	High
	Urgent
)

var priorityNames = [...]string{Low: "Low", Medium: "Medium", High: "High", Urgent: "Urgent"}

// ParsePriority reads a priority's name, whatever its case and ignoring blanks
// around it. It returns an error that lists the accepted names otherwise.
func ParsePriority(s string) (Priority, error) {
	trimmed := strings.TrimSpace(s)
	for p := Low; p <= Urgent; p++ {
		if strings.EqualFold(trimmed, priorityNames[p]) {
			return p, nil
		}
	}
	return 0, fmt.Errorf("must be one of Low, Medium, High, Urgent")
}

// String returns the name in the form that events and read models carry.
func (p Priority) String() string {
	if p < Low || p > Urgent {
		return fmt.Sprintf("Priority(%d)", int(p))
	}
	return priorityNames[p]
}

// The ages between which a patient has no precedence by age, in years.
const (
	minOrdinaryAge = 18
	maxOrdinaryAge = 65
)

// effectivePriority raises a requested priority to High for a patient who is
// pregnant, a minor or over 65. It never lowers one.
func effectivePriority(requested Priority, age *int, pregnant bool) Priority {
	protected := pregnant || (age != nil && (*age < minOrdinaryAge || *age > maxOrdinaryAge))
	if protected && requested < High {
		return High
	}
	return requested
}
