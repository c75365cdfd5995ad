package outbox

import "time"

// Schedule says how long a failed event waits before each further attempt.
type Schedule []time.Duration

// NewSchedule returns the schedule of the guide, 30 s, 2 min, 30 min and 1 h,
// with its first step replaced by base.
func NewSchedule(base time.Duration) Schedule {
	return Schedule{base, 2 * time.Minute, 30 * time.Minute, time.Hour}
}

// After returns the wait after the given number of failures, counted from 1.
// Past its end the last step repeats.
func (s Schedule) After(failures int) time.Duration {
	return s[min(max(failures, 1), len(s))-1]
}
