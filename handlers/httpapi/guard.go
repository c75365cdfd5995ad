package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/rlapp/rlapp/waitingroom"
)

// guard refuses requests that no route should have to think about: text that is not
// UTF-8, has control characters or turns the direction of the text around it, wherever
// it stands; queries that readers understand differently; bodies that are too large or
// not JSON.
func (a *api) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := a.refuse(w, r); p != nil {
			writeProblem(w, p)
			return
		}
		if isStream(r) {
			next.ServeHTTP(w, r)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), a.config.RequestTimeout)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func (a *api) refuse(w http.ResponseWriter, r *http.Request) *Problem {
	ctx := r.Context()
	if fault := waitingroom.LineFault(r.URL.Path); fault != "" {
		return malformed(ctx, "the path "+fault)
	}
	if p := refuseQuery(ctx, r.URL.RawQuery); p != nil {
		return p
	}
	if r.Body == nil || r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil
	}
	return a.refuseBody(w, r)
}

// refuseQuery is strict, since huma is not: it reads pairs that net/url drops, and takes
// the first of two.
func refuseQuery(ctx context.Context, raw string) *Problem {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return malformed(ctx, "the query cannot be read; escape its % as %25 and its ; as %3B")
	}
	for name, values := range query {
		if fault := waitingroom.LineFault(name); fault != "" {
			return malformed(ctx, "the names of the query "+fault)
		}
		if len(values) > 1 {
			return fieldError(ctx, "query."+name, "must be given once")
		}
		if fault := waitingroom.LineFault(values[0]); fault != "" {
			return fieldError(ctx, "query."+name, fault)
		}
	}
	return nil
}

func malformed(ctx context.Context, detail string) *Problem {
	return newProblem(ctx, http.StatusBadRequest, codeMalformed, detail)
}

func (a *api) refuseBody(w http.ResponseWriter, r *http.Request) *Problem {
	ctx := r.Context()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, a.config.MaxBodyBytes))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return newProblem(ctx, http.StatusRequestEntityTooLarge, codeTooLarge,
			"the body must have at most "+humanBytes(tooLarge.Limit))
	}
	if err != nil {
		return malformed(ctx, "the body could not be read to its end")
	}
	if len(body) > 0 && !isJSON(r.Header.Get("Content-Type")) {
		return newProblem(ctx, http.StatusUnsupportedMediaType, codeContentType, "send JSON with the header Content-Type: application/json")
	}
	if !utf8.Valid(body) {
		return malformed(ctx, "the body must be UTF-8")
	}
	if p := refuseJSON(ctx, body); p != nil {
		return p
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// refuseJSON refuses objects that name a field twice, since nobody knows which of two
// values is meant, and readers of JSON differ; text that no field may have; and depth that
// no route has. What is not JSON at all is left to the route, which says where it ends.
func refuseJSON(ctx context.Context, body []byte) *Problem {
	d := jsontext.NewDecoder(bytes.NewBuffer(body))
	for {
		token, err := d.ReadToken()
		var syntactic *jsontext.SyntacticError
		switch {
		case errors.Is(err, jsontext.ErrDuplicateName):
			return malformed(ctx, "the body names a field twice")
		case errors.As(err, &syntactic) && strings.Contains(syntactic.Err.Error(), "surrogate"):
			return malformed(ctx, "the body has text that is not Unicode")
		case err != nil:
			return nil
		case d.StackDepth() > maxNesting:
			return malformed(ctx, fmt.Sprintf("the body is nested deeper than %d levels", maxNesting))
		case token.Kind() != '"':
			continue
		}
		fault, field := waitingroom.TextFault(token.String()), string(d.StackPointer())
		switch {
		case waitingroom.TextFault(field) != "":
			return malformed(ctx, "the names of the body's fields "+fault)
		case fault != "":
			return fieldError(ctx, "body"+strings.ReplaceAll(field, "/", "."), fault)
		}
	}
}

// maxNesting bounds the depth of a body; those of the routes are one object deep.
const maxNesting = 16

// isJSON accepts application/json, with UTF-8 as the only charset there is.
func isJSON(contentType string) bool {
	mediaType, params, err := mime.ParseMediaType(contentType)
	charset, given := params["charset"]
	return err == nil && mediaType == "application/json" && (!given || strings.EqualFold(charset, "utf-8"))
}

func humanBytes(n int64) string {
	if n%1024 == 0 {
		return fmt.Sprintf("%d KiB", n/1024)
	}
	return fmt.Sprintf("%d bytes", n)
}

// writeProblem answers outside of huma, which sees only requests of known routes.
func writeProblem(w http.ResponseWriter, p *Problem) {
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}
