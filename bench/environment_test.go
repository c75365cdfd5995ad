package main

import (
	"maps"
	"strings"
	"testing"

	"github.com/rlapp/rlapp/bench/stock"
)

func TestUnsafeSettingsAreRefused(t *testing.T) {
	safe := map[string]string{"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "confirms": "on"}
	if err := checkSettings(safe); err != nil {
		t.Errorf("safe settings are refused: %v", err)
	}
	for name := range safe {
		for _, value := range []string{"off", "local", ""} {
			unsafe := maps.Clone(safe)
			unsafe[name] = value
			err := checkSettings(unsafe)
			if err == nil || !strings.Contains(err.Error(), "refusing") {
				t.Errorf("%s=%q is accepted: %v", name, value, err)
			}
		}
	}
}

func TestThePeersPublishWithConfirms(t *testing.T) {
	for _, tuned := range []bool{false, true} {
		if !(stock.Config{AMQP: "amqp://127.0.0.1", Tuned: tuned}).Confirms() {
			t.Errorf("the peer publishes without confirms, tuned %v", tuned)
		}
	}
}
