package config

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/tailscale/hujson"
)

// readFile reads a file of sections with keys, as in appsettings.json.
func (s *settings) readFile(path string) {
	data, err := os.ReadFile(path)
	if err != nil {
		var cause *fs.PathError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		s.mistake("", path, "it cannot be read: %v", err)
		return
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // the mark that editors on Windows write
	root, err := hujson.Parse(data)
	if err != nil {
		s.mistake("", path, "it is not JSON: %s", withoutText(err))
		return
	}
	f := fileReader{settings: s, path: path, data: data, lines: map[string]string{}}
	for _, section := range f.members("", root) {
		name := section.name
		if !slices.ContainsFunc(sectionNames(), func(known string) bool { return strings.EqualFold(known, name) }) {
			s.mistake(name, section.origin, "there is no such section%s", didYouMean(name, sectionNames()))
			continue
		}
		for _, member := range f.members(name, section.value) {
			f.set(name+separator+member.name, member)
		}
	}
}

// withoutText is the error of the JSON parser without text of the file, which
// may be a secret.
func withoutText(err error) string {
	text := strings.TrimPrefix(err.Error(), "hujson: ")
	place, _, _ := strings.Cut(text, "invalid literal: ")
	if place != text {
		return place + "a string or a number is malformed"
	}
	return text
}

func sectionNames() []string {
	var names []string
	for section := range sections() {
		names = append(names, strings.TrimSuffix(section.Tag.Get("envPrefix"), separator))
	}
	return names
}

// fileReader knows where it is in a file.
type fileReader struct {
	*settings
	path  string
	data  []byte
	lines map[string]string // where each key was set
}

// member is a name in an object of the file, with its value.
type member struct {
	name, origin string
	value        hujson.Value
}

// members returns what is in an object of the file.
func (f *fileReader) members(name string, v hujson.Value) []member {
	object, ok := v.Value.(*hujson.Object)
	if !ok {
		f.mistake(name, f.origin(v), "it must be an object: { … }")
		return nil
	}
	var members []member
	for _, m := range object.Members {
		members = append(members, member{name: m.Name.Value.(hujson.Literal).String(), origin: f.origin(m.Name), value: m.Value})
	}
	return members
}

func (f *fileReader) origin(v hujson.Value) string {
	return f.path + ":" + strconv.Itoa(1+bytes.Count(f.data[:v.StartOffset], []byte("\n")))
}

func (f *fileReader) set(name string, m member) {
	key, known := f.known[strings.ToLower(name)]
	if !known {
		f.mistake(name, m.origin, "there is no such key%s", f.suggestion(name))
		return
	}
	if other, twice := f.lines[key]; twice {
		f.mistake(key, m.origin, "it is set twice, at %s too", other)
		return
	}
	f.lines[key] = m.origin
	literal, ok := m.value.Value.(hujson.Literal)
	if !ok {
		f.mistake(key, m.origin, "it must be a text, a number, true or false")
		return
	}
	if value := literal.String(); value != "" && literal.Kind() != 'n' {
		f.values[key] = setting{value, m.origin}
	}
}
