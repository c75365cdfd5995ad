package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
)

type streamRequest struct {
	QueueID     string `path:"queueId" minLength:"1" maxLength:"128" doc:"The queue." example:"queue-1"`
	LastEventID string `header:"Last-Event-ID" maxLength:"20" doc:"The id of the last event that was received: the board is sent at once only if it has changed since." example:"42"`
}

func (a *api) streamOperation(h huma.API) huma.Operation {
	o := operation("stream", http.MethodGet, "/api/v1/waiting-room/{queueId}/stream", "Waiting room",
		"Follow the board as it changes",
		"Server-sent events named `board`: the whole board at once, and then whenever it changes; a slow listener gets the newest and misses those in between. "+
			"A comment every 15 s shows that the stream is alive. An event's id is the board's version.",
		http.StatusNotFound)
	o.Responses = map[string]*huma.Response{"200": {
		Description: "The stream; the data of each event is a board.",
		Content: map[string]*huma.MediaType{"text/event-stream": {
			Schema: h.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[board](), true, "Board"),
		}},
	}}
	return o
}

// isStream tells the streams from the requests that end by themselves.
func isStream(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/api/v1/waiting-room/") && strings.HasSuffix(r.URL.Path, "/stream")
}

func (a *api) stream(ctx context.Context, r *streamRequest) (*huma.StreamResponse, error) {
	last, err := lastEvent(ctx, r.LastEventID)
	if err != nil {
		return nil, err
	}
	shown, readErr := a.readBoard(ctx, r.QueueID)
	if readErr != nil {
		return nil, a.fail(ctx, readErr)
	}
	if !a.boards.join(shown) {
		return nil, newProblem(ctx, http.StatusServiceUnavailable, codeUnavailable, "too many listen to streams; ask for the board instead")
	}
	return &huma.StreamResponse{Body: func(h huma.Context) {
		defer a.boards.leave(r.QueueID)
		request, response := humachi.Unwrap(h)
		_ = a.follow(request, response, r.QueueID, last)
	}}, nil
}

func lastEvent(ctx context.Context, id string) (int64, error) {
	if id == "" {
		return 0, nil
	}
	last, err := strconv.ParseInt(id, 10, 64)
	if err != nil || last < 0 {
		return 0, fieldError(ctx, "header.Last-Event-ID", "must be the id of an event of the stream")
	}
	return last, nil
}

// follow writes boards until the listener leaves, is too slow, or is no longer let in,
// or the process stops.
func (a *api) follow(r *http.Request, w http.ResponseWriter, queueID string, last int64) error {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no")
	out := &eventWriter{w: w, control: http.NewResponseController(w), timeout: a.config.StreamWriteTimeout}
	if err := out.open(); err != nil {
		return err
	}
	heartbeat := time.NewTicker(a.config.StreamHeartbeat)
	defer heartbeat.Stop()
	for {
		shown, changed := a.boards.latest(queueID)
		if shown.Version != last {
			if err := out.board(shown); err != nil {
				return err
			}
			last = shown.Version
		}
		select {
		case <-changed:
		case <-heartbeat.C:
			if err := errors.Join(a.stillKnown(r), out.comment("alive")); err != nil {
				return err
			}
		case <-a.config.Stopping:
			return nil
		case <-r.Context().Done():
			return r.Context().Err()
		}
	}
}

// stillKnown returns an error for a listener whose token has expired or whose key was
// revoked. Whom nobody can tell now stays.
func (a *api) stillKnown(r *http.Request) error {
	_, _, err := a.config.Authentication.identify(r)
	var refused *CredentialError
	if a.config.Authentication.asked() && errors.As(err, &refused) {
		return refused
	}
	return nil
}

// eventWriter writes server-sent events.
type eventWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

// open begins the stream. The server's deadline for reading a request would end it.
func (e *eventWriter) open() error {
	if err := e.control.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	return e.comment("open")
}

func (e *eventWriter) board(b board) error {
	data, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return e.write(fmt.Sprintf("event: board\nid: %d\ndata: %s\n\n", b.Version, data))
}

func (e *eventWriter) comment(text string) error { return e.write(": " + text + "\n\n") }

func (e *eventWriter) write(text string) error {
	if err := e.control.SetWriteDeadline(time.Now().Add(e.timeout)); err != nil {
		return err
	}
	if _, err := e.w.Write([]byte(text)); err != nil {
		return err
	}
	return e.control.Flush()
}
