package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rlapp/rlapp/readmodel"
)

type lagRequest struct {
	EventName string `query:"eventName" maxLength:"100" doc:"One event name; all unless given." example:"PatientCheckedIn"`
	From      string `query:"from" maxLength:"40" doc:"A day (2026-02-19) or a moment (RFC 3339), UTC. One hour before to unless given."`
	To        string `query:"to" maxLength:"40" doc:"A day, which is included whole, or a moment. Now unless given."`
}

// lagStatistics are durations in milliseconds; null where nothing was processed.
type lagStatistics struct {
	EventName                         string   `json:"eventName" example:"PatientCheckedIn"`
	EventCount                        int64    `json:"eventCount" example:"1200"`
	ProcessedCount                    int64    `json:"processedCount" example:"1199"`
	FailedCount                       int64    `json:"failedCount" example:"1"`
	AverageLagMs                      *float64 `json:"averageLagMs" example:"14.2"`
	P50LagMs                          *float64 `json:"p50LagMs" example:"11.8"`
	P95LagMs                          *float64 `json:"p95LagMs" example:"31.5"`
	P99LagMs                          *float64 `json:"p99LagMs" example:"58.3"`
	MaxLagMs                          *float64 `json:"maxLagMs" example:"96.7"`
	AverageOutboxDispatchMs           *float64 `json:"averageOutboxDispatchMs" example:"9.1"`
	AverageProjectionProcessingTimeMs *float64 `json:"averageProjectionProcessingMs" example:"5.1"`
}

type lagResponse struct {
	Body struct {
		From       time.Time       `json:"from" example:"2026-02-19T09:00:00Z"`
		To         time.Time       `json:"to" example:"2026-02-19T10:00:00Z"`
		Statistics []lagStatistics `json:"statistics" nullable:"false" doc:"One entry an event name."`
	}
}

func (a *api) lagRoutes(h huma.API) {
	huma.Register(h, operation("lag", http.MethodGet, "/api/metrics/lag", "Operations",
		"Lag of events, from their creation to the read model", "Total lag is outbox dispatch plus projection processing."), a.lag)
}

func (a *api) lag(ctx context.Context, r *lagRequest) (*lagResponse, error) {
	from, to, err := lagRange(ctx, r, time.Now().UTC())
	if err != nil {
		return nil, err
	}
	statistics, err := a.views.Lag(ctx, r.EventName, from, to)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	response := &lagResponse{}
	response.Body.From, response.Body.To = from, to
	response.Body.Statistics = make([]lagStatistics, len(statistics))
	for i, s := range statistics {
		response.Body.Statistics[i] = toLagStatistics(s)
	}
	return response, nil
}

// lagRange reads the period that is asked for.
func lagRange(ctx context.Context, r *lagRequest, now time.Time) (from, to time.Time, err error) {
	to = now
	if r.To != "" {
		var isDay bool
		if to, isDay, err = moment(ctx, "query.to", r.To); err != nil {
			return from, to, err
		}
		if isDay {
			to = to.AddDate(0, 0, 1)
		}
	}
	from = to.Add(-time.Hour)
	if r.From != "" {
		if from, _, err = moment(ctx, "query.from", r.From); err != nil {
			return from, to, err
		}
	}
	if from.After(to) {
		return from, to, fieldError(ctx, "query.from", "must not be after to")
	}
	return from, to, nil
}

func moment(ctx context.Context, location, value string) (t time.Time, isDay bool, err error) {
	if t, err = time.Parse(time.DateOnly, value); err == nil {
		isDay = true
	} else if t, err = time.Parse(time.RFC3339, value); err == nil {
		t = t.UTC()
	}
	// JSON knows the years up to 9999; a day may be added.
	if err == nil && t.Year() >= 1 && t.Year() <= 9998 {
		return t, isDay, nil
	}
	return t, false, fieldError(ctx, location, "must be a day such as 2026-02-19 or a moment such as 2026-02-19T10:00:00Z")
}

func toLagStatistics(s readmodel.LagStatistics) lagStatistics {
	return lagStatistics{
		EventName: s.EventName, EventCount: s.EventCount, ProcessedCount: s.ProcessedCount, FailedCount: s.FailedCount,
		AverageLagMs: roundMs(s.AverageLagMs), P50LagMs: roundMs(s.P50LagMs), P95LagMs: roundMs(s.P95LagMs),
		P99LagMs: roundMs(s.P99LagMs), MaxLagMs: roundMs(s.MaxLagMs),
		AverageOutboxDispatchMs: roundMs(s.AverageOutboxMs), AverageProjectionProcessingTimeMs: roundMs(s.AverageProjectedMs),
	}
}

// roundMs keeps microseconds.
func roundMs(ms *float64) *float64 {
	if ms == nil {
		return nil
	}
	rounded := float64(int64(*ms*1000+0.5)) / 1000
	return &rounded
}
