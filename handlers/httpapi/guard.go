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
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// guard refuses requests that no route should have to think about: paths and
// queries with control characters or broken UTF-8, bodies that are too large,
// not JSON, or not UTF-8.
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
	if !printable(r.URL.Path) {
		return newProblem(ctx, http.StatusBadRequest, codeMalformed, "the path must be UTF-8 without control characters")
	}
	for name, values := range r.URL.Query() {
		for _, value := range values {
			if !printable(name) || !printable(value) {
				return fieldError(ctx, "query."+strings.ToValidUTF8(strings.Map(dropControl, name), ""),
					"must be UTF-8 without control characters")
			}
		}
	}
	if r.Body == nil || r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil
	}
	return a.refuseBody(w, r)
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
		return newProblem(ctx, http.StatusBadRequest, codeMalformed, "the body could not be read to its end")
	}
	if len(body) > 0 && !isJSON(r.Header.Get("Content-Type")) {
		return newProblem(ctx, http.StatusUnsupportedMediaType, codeContentType, "send JSON with the header Content-Type: application/json")
	}
	if !utf8.Valid(body) {
		return newProblem(ctx, http.StatusBadRequest, codeMalformed, "the body must be UTF-8")
	}
	// Which of two values is meant nobody knows; readers of JSON differ. What is not
	// JSON at all is left to the route, which says where it ends.
	if err := ambiguous(body); err != nil {
		return newProblem(ctx, http.StatusBadRequest, codeMalformed, err.Error())
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// ambiguous refuses objects that name a field twice, text that is no Unicode, and depth
// that no route has.
func ambiguous(body []byte) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(body))
	for {
		_, err := d.ReadToken()
		var syntactic *jsontext.SyntacticError
		switch {
		case errors.Is(err, jsontext.ErrDuplicateName):
			return errors.New("the body names a field twice")
		case errors.As(err, &syntactic) && strings.Contains(syntactic.Err.Error(), "surrogate"):
			return errors.New("the body has text that is not Unicode")
		case err != nil:
			return nil
		case d.StackDepth() > maxNesting:
			return fmt.Errorf("the body is nested deeper than %d levels", maxNesting)
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

func printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}

func dropControl(r rune) rune {
	if unicode.IsControl(r) {
		return -1
	}
	return r
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
