package config

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Load reads the configuration from the environment, in the form of os.Environ,
// and from a JSON file unless its path is "". The environment wins over the file,
// both over the defaults; an empty value counts as not set. Names are the same in
// any case, as in .NET.
//
// The error joins a *Mistake for each mistake: a value that is not accepted, a
// key that does not exist (in the environment: one with the prefix of a section),
// one that is set twice, or a file that cannot be read. No secret is in it.
func Load(environ []string, file string) (Config, error) {
	s := settings{known: knownKeys(), values: map[string]setting{}}
	if file != "" {
		s.readFile(file)
	}
	s.readEnvironment(environ)
	return s.config()
}

// setting is the value of a key and where it was set.
type setting struct{ value, origin string }

// settings collects what is set, and the mistakes on the way.
type settings struct {
	known    map[string]string // the keys by their lower-case names
	values   map[string]setting
	mistakes []error
}

func knownKeys() map[string]string {
	known := map[string]string{}
	for _, key := range Keys() {
		known[strings.ToLower(key.Name)] = key.Name
	}
	return known
}

func (s *settings) mistake(key, origin, format string, args ...any) {
	s.mistakes = append(s.mistakes, &Mistake{Key: key, Origin: origin, Problem: fmt.Sprintf(format, args...)})
}

const fromEnvironment = "environment"

func (s *settings) readEnvironment(environ []string) {
	names := map[string]string{} // by key
	environ = slices.Clone(environ)
	slices.SortStableFunc(environ, func(a, b string) int { return strings.Compare(variableName(a), variableName(b)) })
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if value == "" || !isOurs(name) {
			continue
		}
		key, known := s.known[strings.ToLower(name)]
		if !known {
			s.mistake(name, fromEnvironment, "there is no such key%s", s.suggestion(name))
			continue
		}
		if other, twice := names[key]; twice && other != name {
			s.mistake(name, fromEnvironment, "it is set twice, as %s too", other)
			continue
		}
		names[key] = name
		s.values[key] = setting{value, fromEnvironment}
	}
}

func variableName(variable string) string {
	name, _, _ := strings.Cut(variable, "=")
	return name
}

// isOurs reports whether an environment variable has the prefix of a section.
func isOurs(name string) bool {
	for section := range sections() {
		prefix := section.Tag.Get("envPrefix")
		if len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
			return true
		}
	}
	return false
}

// suggestion is didYouMean among the keys of the same section, if it has any.
func (s *settings) suggestion(name string) string {
	prefix, _, _ := strings.Cut(name, separator)
	var section, all []string
	for _, key := range Keys() {
		all = append(all, key.Name)
		if of, _, _ := strings.Cut(key.Name, separator); strings.EqualFold(of, prefix) {
			section = append(section, key.Name)
		}
	}
	if len(section) > 0 {
		return didYouMean(name, section)
	}
	return didYouMean(name, all)
}

// separator stands between the section and the rest of a key.
const separator = "__"

// config turns what was collected into a Config, or into the mistakes.
func (s *settings) config() (Config, error) {
	values := map[string]string{}
	for section := range sections() {
		for f := range section.Type.Fields() {
			key := section.Tag.Get("envPrefix") + f.Tag.Get("env")
			if set, ok := s.values[key]; ok {
				s.check(key, set, f)
				values[key] = set.value
			}
		}
	}
	if err := errors.Join(s.mistakes...); err != nil {
		return Config{}, err
	}
	var c Config
	if err := env.ParseWithOptions(&c, env.Options{Environment: values}); err != nil {
		return Config{}, fmt.Errorf("fill the configuration in: %w", err)
	}
	if c.EventStore.MaxConnections == 0 {
		c.EventStore.MaxConnections = connections(c.EventStore.ConnectionString)
	}
	if _, set := values["Api__RequestsPerMinute"]; !set && c.Auth.Asks() {
		c.Api.RequestsPerMinute = requestsPerMinute
	}
	return c, nil
}

func (s *settings) check(key string, set setting, f reflect.StructField) {
	rule := ruleOf(f)
	err := rule.check(set.value)
	var said *ConnectionStringError
	switch {
	case err == nil:
	case errors.As(err, &said):
		s.mistake(key, set.origin, "%s; give %s", said.Problem, rule.accepts)
	case f.Tag.Get("secret") == "true":
		s.mistake(key, set.origin, "the value is not accepted; give %s", rule.accepts)
	default:
		s.mistake(key, set.origin, "%q is not accepted; give %s", set.value, rule.accepts)
	}
}

// connections is the default of MaxConnections.
func connections(connectionString string) int {
	if c, err := readConnection(connectionString); err == nil {
		if n, err := strconv.Atoi(c.parameters["pool_max_conns"]); err == nil {
			return n
		}
	}
	return max(4, 4*runtime.GOMAXPROCS(0))
}
