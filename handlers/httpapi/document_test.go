package httpapi_test

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// document is what the tests read of the OpenAPI document.
type document struct {
	Paths      map[string]map[string]*described
	Components struct{ Schemas map[string]schemaOf }
}

type described struct {
	method, path string

	OperationID, Summary string
	Tags                 []string
	Parameters           []parameter
	RequestBody          struct {
		Content map[string]struct{ Schema schemaOf }
	}
	Responses map[string]struct {
		Description string
		Content     map[string]any
	}
}

type parameter struct {
	Name, In, Description string
	Required              bool
	Example               any
	Schema                schemaOf
}

type schemaOf struct {
	Ref                 string `json:"$ref"`
	Description, Format string
	Type                any
	MaxLength           int
	Minimum, Maximum    *int64
	Enum, Examples      []any
	Required            []string
	Properties          map[string]schemaOf
}

// documentOf is the OpenAPI document that an API serves.
func documentOf(t testing.TB, api http.Handler) (d document) {
	t.Helper()
	recorder := httptest.NewRecorder()
	api.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/openapi.json", nil))
	if err := json.Unmarshal(recorder.Body.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	for path, methods := range d.Paths {
		for method, o := range methods {
			o.method, o.path = strings.ToUpper(method), path
		}
	}
	return d
}

// operations lists what the document describes, by path.
func operations(d document) (all []*described) {
	for _, methods := range d.Paths {
		all = slices.AppendSeq(all, maps.Values(methods))
	}
	slices.SortFunc(all, func(a, b *described) int { return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.method, b.method)) })
	return all
}

// schema follows a reference.
func (d document) schema(s schemaOf) schemaOf {
	if name, refers := strings.CutPrefix(s.Ref, "#/components/schemas/"); refers {
		return d.Components.Schemas[name]
	}
	return s
}

// fields are those of a schema, or of the one that it refers to.
func (d document) fields(s schemaOf) map[string]schemaOf { return d.schema(s).Properties }
