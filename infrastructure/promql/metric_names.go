package promql

import (
	"regexp"
	"slices"
	"strings"
)

// token matches what an expression is made of, in the order in which it has to be tried. Comments, strings, ranges,
// Grafana's variables and numbers (a duration is one) are matched to be passed over as a whole.
var token = regexp.MustCompile("(?s)" + strings.Join([]string{
	`#[^\n]*`,
	`"(?:\\.|[^"\\])*"`, `'(?:\\.|[^'\\])*'`, "`[^`]*`",
	`\[[^\]]*\]`,
	`\$\{[^}]*\}`, `\$\w+`,
	`[0-9.][\w.]*`,
	`[a-zA-Z_:][\w:]*`,
	`\S`, // operators, commas and brackets
}, "|"))

// words are the identifiers that are no metric, nor a function that its parenthesis would tell.
var words = []string{
	"and", "or", "unless", "atan2", "bool", "offset", "inf", "nan",
	"sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "topk", "bottomk", "count_values", "quantile",
	"limitk", "limit_ratio",
}

// labelLists are the words after which a list of labels may stand in parentheses.
var labelLists = []string{"by", "without", "on", "ignoring", "group_left", "group_right"}

// MetricNames returns the metrics that expr reads, sorted and each once. It knows names that stand outside of braces:
// not {__name__="…"}, nor the quoted names of Prometheus 3. Of an expression that is no PromQL it returns what looks
// like metrics.
func MetricNames(expr string) []string {
	var names []string
	tokens := token.FindAllString(expr, -1)
	for i := 0; i < len(tokens); i++ {
		word, next := tokens[i], ""
		if i+1 < len(tokens) {
			next = tokens[i+1]
		}
		switch lower := strings.ToLower(word); {
		case word == "{":
			i = skip(tokens, i, "}")
		case slices.Contains(labelLists, lower):
			if next == "(" {
				i = skip(tokens, i, ")")
			}
		case isIdentifier(word) && next != "(" && !slices.Contains(words, lower):
			names = append(names, word)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// skip returns the index of the first closing token after i, or the last index where it is missing.
func skip(tokens []string, i int, closing string) int {
	for i < len(tokens)-1 && tokens[i] != closing {
		i++
	}
	return i
}

func isIdentifier(token string) bool {
	c := token[0]
	return c == '_' || c == ':' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
