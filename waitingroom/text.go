package waitingroom

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// NameFault says which rule the characters of an id break, or of who asks; "" for none.
// They have none that are not seen: two that look alike would be two desks.
func NameFault(s string) string {
	return fault(s, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && !redirects(r) })
}

// LineFault is that of a text of one line.
func LineFault(s string) string { return fault(s, unicode.IsControl) }

// TextFault is that of free text, in which lines may be broken.
func TextFault(s string) string {
	return fault(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' })
}

func fault(s string, forbidden func(rune) bool) string {
	switch {
	case !utf8.ValidString(s):
		return "must be valid UTF-8"
	case strings.IndexFunc(s, forbidden) >= 0:
		return "must not contain control characters or invisible ones"
	case strings.IndexFunc(s, redirects) >= 0:
		return "must not contain characters that change the direction of the text around them"
	}
	return ""
}

// redirects reports whether a character embeds, overrides or isolates the direction
// of text: it could make one name look like another. Arabic and Hebrew need none.
func redirects(r rune) bool {
	return r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}
