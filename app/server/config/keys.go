package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Key is one thing that operators can set.
type Key struct {
	// Name is the environment variable, such as "Api__Address".
	Name string
	// Accepts describes the values.
	Accepts string
	// Default is the default as it would be written, or a description of one that
	// depends on other things, and then Computed.
	Default  string
	Computed bool
	// Doc is the meaning, one or more sentences.
	Doc string
	// Secret says that the value is shown nowhere.
	Secret bool
}

// Keys returns every key, in the order of Config's fields.
func Keys() []Key {
	var keys []Key
	for s := range sections() {
		for f := range s.Type.Fields() {
			key := Key{
				Name:    s.Tag.Get("envPrefix") + f.Tag.Get("env"),
				Accepts: ruleOf(f).accepts,
				Default: f.Tag.Get("envDefault"),
				Doc:     f.Tag.Get("doc"),
				Secret:  f.Tag.Get("secret") == "true",
			}
			if described, ok := f.Tag.Lookup("default"); ok {
				key.Default, key.Computed = described, true
			}
			keys = append(keys, key)
		}
	}
	return keys
}

// String lists every key with its value, secrets hidden, one a line.
func (c Config) String() string {
	var b strings.Builder
	value := reflect.ValueOf(c)
	for s := range sections() {
		for f := range s.Type.Fields() {
			v := fmt.Sprint(value.FieldByIndex(s.Index).FieldByIndex(f.Index))
			if v != "" && f.Tag.Get("secret") == "true" {
				v = hidden
			}
			fmt.Fprintf(&b, "%s%s=%s\n", s.Tag.Get("envPrefix"), f.Tag.Get("env"), v)
		}
	}
	return b.String()
}

// GoString is String, so that no form of printing shows a secret.
func (c Config) GoString() string { return c.String() }

const hidden = "(hidden)"

// sections are the fields of Config.
func sections() func(yield func(reflect.StructField) bool) {
	return reflect.TypeFor[Config]().Fields()
}
