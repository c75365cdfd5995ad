package httpapi_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// findings are the first groups of a pattern's matches in a file, from a line on.
func findings(t *testing.T, pattern, from string, path ...string) (found []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), from)
	if !ok {
		t.Fatalf("%s has no %q", filepath.Join(path...), from)
	}
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(after, -1) {
		found = append(found, match[1])
	}
	return found
}

// docs/api.md tells every code that a problem may have, and no other.
func TestTheCodesAreInTheManual(t *testing.T) {
	codes := findings(t, `\scode\w+\s+= "(\w+)"`, "", "problem.go")
	codes = append(codes, findings(t, `\sCode\w+ Code = "(\w+)"`, "", "..", "..", "waitingroom", "errors.go")...)
	if len(codes) < 20 {
		t.Fatalf("found only %v", codes)
	}
	manual := filepath.Join("..", "..", "docs", "api.md")
	told := findings(t, "`(\\w+)`", "", manual)
	for _, code := range codes {
		if !slices.Contains(told, code) {
			t.Errorf("%s does not tell %s", manual, code)
		}
	}
	for _, row := range findings(t, `(?m)^\| \d{3} \|([^|]*)\|`, "## Errors", manual) {
		for _, match := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(row, -1) {
			if !slices.Contains(codes, match[1]) {
				t.Errorf("%s tells %s, which no problem has", manual, match[1])
			}
		}
	}
}
