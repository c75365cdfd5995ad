package main

import (
	"context"
	"time"
)

// both puts a toxic on both directions.
func both(kind string, attributes map[string]any) []toxic {
	return []toxic{{Type: kind, Stream: "upstream", Attributes: attributes}, {Type: kind, Stream: "downstream", Attributes: attributes}}
}

// networkFaults are five of each link.
func networkFaults() (all []fault) {
	for _, kind := range []struct {
		name, what string
		lasts      time.Duration
		toxics     []toxic
		evidence   evidence // for the clients' link
	}{
		{
			"reset", "the connections are reset, again and again for a second", time.Second,
			both("reset_peer", map[string]any{"timeout": 20}), askedAgain,
		},
		{
			"black-hole", "nothing gets through for 20 s, and what was sent is lost", 20 * time.Second,
			[]toxic{blackHole("upstream"), blackHole("downstream")},
			slowed(1),
		},
		{
			"stall", "nothing gets through for 20 s, and then all of it", 20 * time.Second,
			both("bandwidth", map[string]any{"rate": 0}), slowed(1),
		},
		{"slow", "500 ms more each way, for 10 s", 10 * time.Second, both("latency", map[string]any{"latency": 500}), slowed(1)},
		{"narrow", "10 KB/s, for 10 s", 10 * time.Second, both("bandwidth", map[string]any{"rate": 10}), slowed(0.5)},
	} {
		for _, link := range links {
			f := fault{
				name: kind.name + "-" + link, what: "the link " + link + ": " + kind.what, lasts: kind.lasts, unnoticed: true, evidence: heldUp,
				strike: func(ctx context.Context, s *strike) error { return s.onLink(ctx, link, kind.toxics) },
			}
			if kind.name == "reset" {
				f.evidence = hits("connection that ended")
			}
			if link == "api-postgres" {
				f.evidence, f.unnoticed = kind.evidence, false
			}
			all = append(all, f)
		}
	}
	return all
}

// onLink holds toxics on a link.
func (s *strike) onLink(ctx context.Context, link string, toxics []toxic) error {
	before, err := s.ended(link)
	if err != nil {
		return err
	}
	heal, err := s.poisonLink(link, toxics...)
	if err != nil {
		return err
	}
	if err := s.during(ctx, heal); err != nil {
		return err
	}
	after, err := s.ended(link)
	if after > before {
		s.hit(1)
	}
	return err
}
