package triage

import (
	"context"
	"log/slog"

	"github.com/rlapp/rlapp/handlers/plugin"
	"github.com/rlapp/rlapp/schema"
)

// urgent is the priority that is told.
const urgent = "Urgent"

// New returns the plugin. It writes warnings with the queue and the patient's
// id, never the name.
func New(logger *slog.Logger) plugin.Plugin {
	return plugin.Plugin{
		Name: "triage",
		Handlers: []plugin.Handler{
			plugin.On("urgent-check-in", func(ctx context.Context, e schema.PatientCheckedIn, m schema.Metadata) error {
				if e.Priority == urgent {
					logger.WarnContext(ctx, "an urgent patient has checked in", "Component", "Triage",
						"CorrelationId", m.CorrelationID, "queueId", e.QueueID, "patientId", e.PatientID)
				}
				return nil
			}),
		},
	}
}
