package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/rlapp/rlapp/readmodel"
)

// board is what everybody in the waiting room may see: it names nobody.
type board struct {
	QueueID     string           `json:"queueId" example:"queue-1"`
	Version     int64            `json:"version" doc:"The queue's version that it shows; the id of a stream's event." example:"42"`
	ProjectedAt time.Time        `json:"projectedAt" doc:"When the queue last changed." example:"2026-02-19T10:12:31Z"`
	Patients    []boardPatient   `json:"patients" nullable:"false" doc:"In the order of their turn."`
	Rooms       []consultingRoom `json:"consultingRooms" nullable:"false"`
}

// boardPatient is a patient as a display shows one.
type boardPatient struct {
	TicketNumber         string `json:"ticketNumber" doc:"Empty for a patient from before there were tickets." example:"A-017"`
	Status               string `json:"status" enum:"waiting-cashier,at-cashier,payment-pending,waiting-consultation,called,in-consultation" example:"called"`
	Place                string `json:"place" doc:"The desk or consulting room to go to; empty while waiting." example:"room-1"`
	EstimatedWaitMinutes int    `json:"estimatedWaitMinutes" doc:"Until the consultation, rounded up to whole minutes." example:"12"`
}

// consultingRoom is a room that patients are called to.
type consultingRoom struct {
	ConsultingRoomID string `json:"consultingRoomId" example:"room-1"`
	IsActive         bool   `json:"isActive" example:"true"`
}

func toBoard(v readmodel.QueueStateView, version int64) board {
	b := board{
		QueueID: v.QueueID, Version: version, ProjectedAt: v.ProjectedAt, Patients: make([]boardPatient, len(v.Patients)),
		Rooms: toRooms(v.Rooms),
	}
	for i, p := range v.Places() {
		b.Patients[i] = boardPatient{
			TicketNumber: p.TicketNumber, Status: p.Status, Place: p.PresentPatient.Place, EstimatedWaitMinutes: wholeMinutes(p.Estimate),
		}
	}
	return b
}

func toRooms(rooms []readmodel.Room) []consultingRoom {
	shown := make([]consultingRoom, len(rooms))
	for i, r := range rooms {
		shown[i] = consultingRoom{ConsultingRoomID: r.RoomID, IsActive: r.IsActive}
	}
	return shown
}

// wholeMinutes rounds up: nobody minds being called early.
func wholeMinutes(d time.Duration) int { return int((d + time.Minute - 1) / time.Minute) }

type boardResponse struct {
	Tagged
	Body board
}

func (a *api) boardRoutes(h huma.API) {
	huma.Register(h, conditional(operation("board", http.MethodGet, "/api/v1/waiting-room/{queueId}/board", "Waiting room",
		"What a display shows", "Tickets, states, places and estimated waits; no names. Reads the view of the projection `queue-state`.",
		http.StatusNotFound)), a.board)
	huma.Register(h, a.streamOperation(h), a.stream)
}

func (a *api) board(ctx context.Context, r *queueRequest) (*boardResponse, error) {
	if err := a.caughtUp(ctx, r.Consistency, readmodel.QueueState, readmodel.Monitor); err != nil {
		return nil, err
	}
	tag, err := a.unchanged(ctx, r.Conditional, r.QueueID)
	if err != nil {
		return nil, err
	}
	shown, err := a.readBoard(ctx, r.QueueID)
	if err != nil {
		return nil, a.fail(ctx, err)
	}
	return &boardResponse{Tagged: Tagged{tag}, Body: shown}, nil
}

func (a *api) readBoard(ctx context.Context, queueID string) (board, error) {
	// The version first: what is read afterwards is as new or newer.
	versions, err := a.views.QueueVersions(ctx, readmodel.QueueState, []string{queueID})
	if err != nil {
		return board{}, err
	}
	state, err := a.views.QueueStateOf(ctx, queueID)
	if err != nil {
		return board{}, err
	}
	return toBoard(state, versions[queueID]), nil
}
