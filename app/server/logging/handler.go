package logging

import (
	"context"
	"log/slog"
	"slices"
	"strings"
)

// handler adds the correlation id to records, and hides patients' names, on the
// way to all sinks.
type handler struct {
	level slog.Level
	next  slog.Handler
	// root is next before any group was opened, and since are the steps from there
	// to next: the correlation id belongs outside of groups.
	root  slog.Handler
	since []func(slog.Handler) slog.Handler
}

func newHandler(level slog.Level, next slog.Handler) *handler {
	return &handler{level: level, next: next, root: next}
}

// Enabled reports whether a record of the level is logged.
func (h *handler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

// Handle passes a record on.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	record := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	next := h.next
	if id := CorrelationID(ctx); id != "" {
		attr := slog.String(CorrelationIDKey, id)
		if len(h.since) == 0 {
			record.AddAttrs(attr)
		} else {
			next = h.root.WithAttrs([]slog.Attr{attr})
			for _, step := range h.since {
				next = step(next)
			}
		}
	}
	r.Attrs(func(a slog.Attr) bool {
		record.AddAttrs(redact(a))
		return true
	})
	return next.Handle(ctx, record)
}

// WithAttrs returns a handler whose records have the attributes.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	redacted := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		redacted[i] = redact(a)
	}
	return h.after(len(h.since) > 0, func(next slog.Handler) slog.Handler { return next.WithAttrs(redacted) })
}

// WithGroup returns a handler whose further attributes are in a group.
func (h *handler) WithGroup(name string) slog.Handler {
	return h.after(true, func(next slog.Handler) slog.Handler { return next.WithGroup(name) })
}

func (h *handler) after(grouped bool, step func(slog.Handler) slog.Handler) *handler {
	after := &handler{level: h.level, next: step(h.next), root: h.root}
	if grouped {
		after.since = append(slices.Clip(h.since), step)
	} else {
		after.root = after.next
	}
	return after
}

const redacted = "[redacted]"

// redact hides the value of an attribute that is named for a patient's name, in
// groups too.
func redact(a slog.Attr) slog.Attr {
	if isPatientName(a.Key) {
		return slog.String(a.Key, redacted)
	}
	value := a.Value.Resolve()
	if value.Kind() != slog.KindGroup {
		return slog.Attr{Key: a.Key, Value: value}
	}
	group := slices.Clone(value.Group())
	for i := range group {
		group[i] = redact(group[i])
	}
	return slog.Attr{Key: a.Key, Value: slog.GroupValue(group...)}
}

var unspelled = strings.NewReplacer("_", "", "-", "", ".", "", " ", "")

// isPatientName knows patientName, patient_name, PatientName and the like.
func isPatientName(key string) bool {
	return len(key) >= len("patientname") && strings.EqualFold(unspelled.Replace(key), "patientname")
}
