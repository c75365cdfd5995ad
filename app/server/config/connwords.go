package config

import (
	"net/url"
	"regexp"
	"strings"
)

// word is a keyword of a connection string with its value.
type word struct{ keyword, value string }

// readWords reads the .NET form, or the libpq form where it is not that one.
func readWords(s string) ([]word, error) {
	words, ok := readDotNet(s)
	if ok {
		return words, nil
	}
	words, ok = readLibpq(s)
	switch {
	case ok && (len(words) > 1 || !strings.Contains(s, ";")):
		return words, nil
	case strings.Contains(s, ";"):
		return nil, malformed("it must have the form Keyword=value;Keyword=value, with values that have a semicolon in quotes")
	default:
		return nil, malformed("it must have the form Host=…;Database=…, host=… dbname=… or postgres://…")
	}
}

// nextLibpq finds the next keyword of the libpq form within a value of the .NET
// form, which tells the two apart.
var nextLibpq = regexp.MustCompile(`(?i)\s(host|port|dbname|database|user|password|passfile|sslmode|connect_timeout|application_name|target_session_attrs|pool_max_conns)\s*=`)

// keywordForm is what a keyword can look like; anything else is a piece of a
// value that needs quotes.
var keywordForm = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_ ]*$`)

// readDotNet reads Keyword=value;… as DbConnectionStringBuilder does: a value
// may be in single or double quotes, which are doubled within it.
func readDotNet(s string) (words []word, ok bool) {
	for s = strings.TrimLeft(s, " \t\r\n;"); s != ""; s = strings.TrimLeft(s, " \t\r\n;") {
		keyword, rest, found := strings.Cut(s, "=")
		w := word{keyword: strings.TrimSpace(keyword)}
		if !found || !keywordForm.MatchString(w.keyword) {
			return nil, false
		}
		rest = strings.TrimLeft(rest, " \t\r\n")
		if rest != "" && (rest[0] == '"' || rest[0] == '\'') {
			if w.value, rest, ok = cutDoubled(rest); !ok {
				return nil, false
			}
			rest = strings.TrimLeft(rest, " \t\r\n")
			if rest != "" && rest[0] != ';' {
				return nil, false
			}
		} else {
			w.value, rest, _ = strings.Cut(rest, ";")
			w.value = strings.TrimSpace(w.value)
			if nextLibpq.MatchString(w.value) {
				return nil, false
			}
		}
		words = append(words, w)
		s = rest
	}
	return words, len(words) > 0
}

// cutDoubled cuts a quoted value off s; a doubled quote stands for itself.
func cutDoubled(s string) (value, rest string, ok bool) {
	quote, s := s[:1], s[1:]
	for {
		before, after, found := strings.Cut(s, quote)
		if !found {
			return "", "", false
		}
		value += before
		if !strings.HasPrefix(after, quote) {
			return value, after, true
		}
		value += quote
		s = after[1:]
	}
}

// readLibpq reads keyword=value …: a value may be in single quotes, and a
// backslash takes the next character as it is, in quotes or not.
func readLibpq(s string) (words []word, ok bool) {
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimLeft(s, " \t\r\n") {
		keyword, rest, found := strings.Cut(s, "=")
		w := word{keyword: strings.TrimSpace(keyword)}
		if !found || !keywordForm.MatchString(w.keyword) || strings.Contains(w.keyword, " ") {
			return nil, false
		}
		rest = strings.TrimLeft(rest, " \t\r\n")
		rest, quoted := strings.CutPrefix(rest, "'")
		if w.value, s, ok = cutEscaped(rest, quoted); !ok {
			return nil, false
		}
		if !quoted && strings.Contains(w.value, ";") && keywords[squash(w.keyword)] != "password" {
			return nil, false // rather the .NET form with a mistake
		}
		words = append(words, w)
	}
	return words, len(words) > 0
}

// cutEscaped cuts a value with backslashes off s, up to the closing quote or the
// next space.
func cutEscaped(s string, quoted bool) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
		case quoted && s[i] == '\'':
			return b.String(), s[i+1:], i+1 == len(s) || isSpace(s[i+1])
		case !quoted && isSpace(s[i]):
			return b.String(), s[i:], true
		}
		b.WriteByte(s[i])
	}
	return b.String(), "", !quoted
}

func isSpace(c byte) bool { return strings.IndexByte(" \t\r\n", c) >= 0 }

// errURL has no part of the URL in it: where that is malformed, any part may be
// the password's.
var errURL = malformed("it must have the form postgres://user:password@host:port/database; in the user and the password, %s",
	"write every character but letters and digits as %XX")

// readURL reads the URL form as libpq does.
func readURL(s string) ([]word, error) {
	_, s, _ = strings.Cut(s, "://")
	s, query, _ := strings.Cut(s, "?")
	authority, database, _ := strings.Cut(s, "/")
	userinfo, hosts, hasUser := strings.Cut(authority, "@")
	if !hasUser {
		userinfo, hosts = "", authority
	}
	user, password, _ := strings.Cut(userinfo, ":")
	if strings.Contains(hosts+database+query, "@") || strings.Contains(database, "/") {
		return nil, errURL
	}
	words := []word{
		{"user", user},
		{"password", password},
		{"host", hosts},
		{"database", database},
	}
	for pair := range strings.SplitSeq(query, "&") {
		if keyword, value, _ := strings.Cut(pair, "="); pair != "" {
			words = append(words, word{keyword, value})
		}
	}
	return unescape(words)
}

func unescape(words []word) ([]word, error) {
	for i := range words {
		value, err := url.PathUnescape(words[i].value)
		keyword, err2 := url.PathUnescape(words[i].keyword)
		if err != nil || err2 != nil {
			return nil, errURL
		}
		words[i].value, words[i].keyword = value, keyword
	}
	return words, nil
}
