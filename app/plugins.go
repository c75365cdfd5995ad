package main

import (
	"log/slog"

	"github.com/rlapp/rlapp/handlers/plugin"
	"github.com/rlapp/rlapp/handlers/plugins/triage"
)

// plugins lists the teams' plugins, one line each.
func plugins(logger *slog.Logger) []plugin.Plugin {
	return []plugin.Plugin{
		triage.New(logger),
	}
}
