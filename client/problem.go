package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// Answer is what the methods of ClientWithResponses return.
type Answer interface {
	StatusCode() int
	ContentType() string
	GetBody() []byte
}

// Accepted makes an error of an answer that is a problem, so that an answer without an
// error is a success. It takes what a method of the client returns:
//
//	answer, err := client.Accepted(api.CheckInWithResponse(ctx, nil, body))
//
// The error is a *Problem where the server, or something on the way to it, has refused.
func Accepted[A Answer](answer A, err error) (A, error) {
	if err != nil {
		return answer, err
	}
	status := answer.StatusCode()
	success := status/100 == 2 && strings.Contains(answer.ContentType(), "json") // else it is somebody else's page
	if success || status == http.StatusNotModified {
		return answer, nil
	}
	return answer, problemOf(status, answer.GetBody())
}

// problemOf reads a problem. What comes from a proxy may be anything; it has no code then.
func problemOf(status int, body []byte) *Problem {
	var p Problem
	if err := json.Unmarshal(body, &p); err != nil || p.Code == "" {
		p = Problem{Title: http.StatusText(status), Detail: "the answer is not one of the API's"}
	}
	p.Status = int64(status)
	return &p
}

// Error implements error. It names no patient.
func (p *Problem) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s: %s", p.Status, p.Title, p.Detail)
	if p.Errors != nil {
		for _, f := range *p.Errors {
			fmt.Fprintf(&b, "; %s %s", f.Field, f.Message)
		}
	}
	if p.Code != "" {
		fmt.Fprintf(&b, " (%s, correlation id %s)", p.Code, p.CorrelationId)
	}
	return b.String()
}
