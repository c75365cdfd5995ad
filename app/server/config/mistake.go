package config

import (
	"fmt"
	"strings"
)

// Mistake is one thing that is wrong with the configuration. Load returns all of
// them at once.
type Mistake struct {
	// Key is what was set, such as "RabbitMq__Port", or "" for a whole file.
	Key string
	// Origin is where: "environment", or the file's path with the line.
	Origin string
	// Problem says what is wrong and what is accepted. It has no secret in it.
	Problem string
}

func (m *Mistake) Error() string {
	if m.Key == "" {
		return fmt.Sprintf("%s: %s", m.Origin, m.Problem)
	}
	return fmt.Sprintf("%s (%s): %s", m.Key, m.Origin, m.Problem)
}

// didYouMean returns a question for the candidate that is most like name, or ""
// where none is.
func didYouMean(name string, candidates []string) string {
	best, distance := "", max(len(name)/3, 2)+1
	for _, candidate := range candidates {
		if d := unlikeness(strings.ToLower(name), strings.ToLower(candidate)); d < distance {
			best, distance = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// unlikeness is the Levenshtein distance of two names, or 1 where one of them
// has the other in it.
func unlikeness(a, b string) int {
	if a != "" && (strings.Contains(a, b) || strings.Contains(b, a)) {
		return 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitution := diagonal
			if a[i] != b[j] {
				substitution++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitution, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
