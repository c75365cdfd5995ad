package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Seconds is a span of time as the configuration writes it, such as 5 or 0.5.
type Seconds float64

// Duration is the span as a time.Duration.
func (s Seconds) Duration() time.Duration {
	return time.Duration(math.Round(float64(s) * float64(time.Second)))
}

// maxSeconds is a day: whoever writes more has taken another unit.
const maxSeconds = 24 * 60 * 60

// rule is what a key accepts.
type rule struct {
	accepts string
	// check returns errNotAccepted, or an error that says more.
	check func(value string) error
}

var errNotAccepted = errors.New("not accepted")

// ruleOf returns the rule of a field, by its type and tags.
func ruleOf(f reflect.StructField) rule {
	switch f.Type {
	case reflect.TypeFor[Seconds]():
		return rule{fmt.Sprintf("a number of seconds, above 0 and at most %d", maxSeconds), checkSeconds}
	case reflect.TypeFor[slog.Level]():
		return rule{"debug, info, warn or error", func(v string) error { return new(slog.Level).UnmarshalText([]byte(v)) }}
	}
	switch f.Type.Kind() {
	case reflect.Int, reflect.Int64:
		low, high := f.Tag.Get("min"), f.Tag.Get("max")
		return rule{fmt.Sprintf("a whole number from %s to %s", low, high), func(v string) error { return checkWhole(v, low, high) }}
	case reflect.Bool:
		return rule{"true or false", func(v string) error { _, err := strconv.ParseBool(v); return err }}
	}
	return textRules[f.Tag.Get("accepts")]
}

// textRules are the rules by the accepts tag of a string field.
var textRules = map[string]rule{
	"":                  {"text", func(string) error { return nil }},
	"host":              {"a host name or IP address", checkHost},
	"address":           {"host:port; without the host it is every network of the machine, port 0 is a free one", checkAddress},
	"url":               {"an http:// or https:// URL", checkURL},
	"format":            {"text or json", checkFormat},
	"time zone":         {"an IANA time zone such as Europe/Madrid", checkTimeZone},
	"algorithm":         {"RS256, RS384, RS512, ES256, ES384, ES512, PS256, PS384, PS512 or EdDSA", checkAlgorithm},
	"connection string": {"a PostgreSQL connection string", checkConnectionString},
}

func checkSeconds(value string) error {
	n, err := strconv.ParseFloat(value, 64)
	if err == nil && n <= maxSeconds && Seconds(n).Duration() > 0 { // which is false for NaN
		return nil
	}
	return errNotAccepted
}

func checkWhole(value, low, high string) error {
	n, err := strconv.ParseInt(value, 10, 64)
	least, err2 := strconv.ParseInt(low, 10, 64)
	most, err3 := strconv.ParseInt(high, 10, 64)
	if err := errors.Join(err, err2, err3); err != nil {
		return err
	}
	if n < least || n > most {
		return errNotAccepted
	}
	return nil
}

// hostName is what DNS and container networks take; the latter allow underscores.
var hostName = regexp.MustCompile(`^[a-zA-Z0-9_]([a-zA-Z0-9_-]*[a-zA-Z0-9_])?(\.[a-zA-Z0-9_]([a-zA-Z0-9_-]*[a-zA-Z0-9_])?)*\.?$`)

func checkHost(value string) error {
	if _, err := netip.ParseAddr(value); err == nil {
		return nil
	}
	if len(value) > 253 || !hostName.MatchString(value) {
		return errNotAccepted
	}
	return nil
}

func checkAddress(value string) error {
	host, port, err := net.SplitHostPort(value)
	if err != nil {
		return err
	}
	if host != "" {
		err = checkHost(host)
	}
	return errors.Join(err, checkWhole(port, "0", "65535"))
}

func checkURL(value string) error {
	u, err := url.Parse(value)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return errNotAccepted
	}
	return nil
}

func checkFormat(value string) error {
	if value != "text" && value != "json" {
		return errNotAccepted
	}
	return nil
}

func checkTimeZone(value string) error {
	_, err := time.LoadLocation(value)
	return err
}

func checkAlgorithm(value string) error {
	if !slices.Contains(strings.Fields("RS256 RS384 RS512 ES256 ES384 ES512 PS256 PS384 PS512 EdDSA"), value) {
		return errNotAccepted
	}
	return nil
}

func checkConnectionString(value string) error {
	_, err := ParseConnectionString(value)
	return err
}
