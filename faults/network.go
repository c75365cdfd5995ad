package main

import (
	"context"
	"time"
)

// networkFaults are four of each link.
func networkFaults() (all []fault) {
	for _, kind := range []struct {
		name, what string
		lasts      time.Duration
		toxics     []toxic
	}{
		{"reset", "the connections are reset, again and again for a second", time.Second, []toxic{
			{Type: "reset_peer", Stream: "upstream", Attributes: map[string]any{"timeout": 100}},
			{Type: "reset_peer", Stream: "downstream", Attributes: map[string]any{"timeout": 100}},
		}},
		{"black-hole", "nothing gets through for 20 s", 20 * time.Second, []toxic{blackHole("upstream"), blackHole("downstream")}},
		{"slow", "500 ms more each way, for 10 s", 10 * time.Second, []toxic{
			{Type: "latency", Stream: "upstream", Attributes: map[string]any{"latency": 500}},
			{Type: "latency", Stream: "downstream", Attributes: map[string]any{"latency": 500}},
		}},
		{"narrow", "10 KB/s, for 10 s", 10 * time.Second, []toxic{
			{Type: "bandwidth", Stream: "upstream", Attributes: map[string]any{"rate": 10}},
			{Type: "bandwidth", Stream: "downstream", Attributes: map[string]any{"rate": 10}},
		}},
	} {
		for _, link := range links {
			all = append(all, fault{
				name: kind.name + "-" + link, what: "the link " + link + ": " + kind.what, lasts: kind.lasts,
				strike: func(ctx context.Context, s *system, lasts time.Duration) error {
					heal, err := s.poisonLink(link, kind.toxics...)
					if err != nil {
						return err
					}
					return during(ctx, lasts, heal)
				},
			})
		}
	}
	return all
}
