package waitingroom

import (
	"fmt"
	"time"
)

// tickets counts the numbers that a queue has given on one day, in the clinic's time.
type tickets struct {
	day   string // as 2026-02-19
	given int
}

// nextTicket is the count with the next ticket. Where a clock goes back over
// midnight the later day goes on, so that no number is given twice.
func (q *Queue) nextTicket(at time.Time) tickets {
	today := at.Format(time.DateOnly)
	if today > q.tickets.day {
		return tickets{day: today, given: 1}
	}
	return tickets{day: q.tickets.day, given: q.tickets.given + 1}
}

const (
	ticketsPerLetter = 999
	ticketLetters    = 26
)

// number is that of the last ticket, as people read it, then B-001.
// After Z-999 it begins anew.
func (t tickets) number() string {
	n := t.given - 1
	return fmt.Sprintf("%c-%03d", 'A'+rune(n/ticketsPerLetter%ticketLetters), n%ticketsPerLetter+1)
}

// take counts a ticket that was given.
func (t *tickets) take(day string) {
	switch {
	case day == "": // the event is of a time before there were tickets
	case day > t.day:
		*t = tickets{day: day, given: 1}
	default:
		t.given++
	}
}
