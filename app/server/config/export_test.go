package config

import "strings"

// ConnectionKeyword is a row of the page's table of keywords.
type ConnectionKeyword struct{ Name, Also, Doc string }

// ConnectionKeywords are the rows of the page's table of keywords.
func ConnectionKeywords() []ConnectionKeyword {
	var rows []ConnectionKeyword
	for _, k := range connectionKeywords {
		rows = append(rows, ConnectionKeyword{k.npgsql, strings.Join(k.aliases, ", "), k.doc})
	}
	return rows
}
