package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Conditional lets a client ask for a view only if it has changed. It is exported
// because huma leaves out embedded structs that are not.
type Conditional struct {
	IfNoneMatch string `header:"If-None-Match" maxLength:"1000" doc:"The ETag of an earlier answer; where nothing has changed the answer is 304 without a body." example:"W/\"42-29341112\""`
}

// Tagged is the header of an answer to which Conditional may refer.
type Tagged struct {
	ETag string `header:"ETag" doc:"Changes with the events of what is shown, and with every minute: answers tell how long patients have waited."`
}

// conditional describes the answer to a client that has the view already.
func conditional(o huma.Operation) huma.Operation {
	o.Responses = map[string]*huma.Response{strconv.Itoa(http.StatusNotModified): {
		Description: "Nothing has changed since the answer that If-None-Match names.",
	}}
	return o
}

// unchanged returns the tag of a queue's view, and 304 where the client has that
// already.
func (a *api) unchanged(ctx context.Context, c Conditional, queueID string) (tag string, err error) {
	revision, err := a.views.QueueRevision(ctx, queueID)
	if err != nil {
		return "", a.fail(ctx, err)
	}
	if revision == "" {
		return "", nil // the view will say that there is no such queue
	}
	return c.match(revision)
}

// match returns the tag of a state, and 304 where the client has that already. Tags are
// weak: an answer also tells times, to the minute.
func (c Conditional) match(state string) (tag string, err error) {
	tag = fmt.Sprintf(`W/"%s-%d"`, state, time.Now().Unix()/60)
	for _, known := range strings.Split(c.IfNoneMatch, ",") {
		if known = strings.TrimSpace(known); known == tag || known == "*" {
			return tag, &notModified{tag}
		}
	}
	return tag, nil
}

// notModified is the answer to a client that has the view already; it is no problem.
type notModified struct{ tag string }

func (n *notModified) Error() string { return "nothing has changed" }

// GetStatus implements huma.StatusError.
func (n *notModified) GetStatus() int { return http.StatusNotModified }

// GetHeaders implements huma.HeadersError.
func (n *notModified) GetHeaders() http.Header { return http.Header{"ETag": {n.tag}} }
