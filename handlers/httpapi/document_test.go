package httpapi_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	validator "github.com/santhosh-tekuri/jsonschema/v6"
)

// document is what the tests read of the OpenAPI document.
type document struct {
	Paths      map[string]map[string]*described
	Components struct{ Schemas map[string]schemaOf }

	schemas *schemas
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
		Content     map[string]struct{ Schema schemaOf }
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
	Items               *schemaOf
}

// served are the documents that were read already, by their text: with the race detector
// reading one, and compiling what is asked of it, takes long.
var served sync.Map

// documentOf is the OpenAPI document that an API serves.
func documentOf(t testing.TB, api http.Handler) document {
	t.Helper()
	recorder := httptest.NewRecorder()
	api.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/openapi.json", nil))
	text := recorder.Body.String()
	read, known := served.Load(text)
	if !known {
		read, _ = served.LoadOrStore(text, readDocument(t, []byte(text)))
	}
	return read.(document)
}

func readDocument(t testing.TB, text []byte) (d document) {
	t.Helper()
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	var whole any
	if err := json.Unmarshal(text, &whole); err != nil {
		t.Fatal(err)
	}
	d.schemas = &schemas{compiler: validator.NewCompiler()}
	d.schemas.compiler.AssertFormat()
	if err := d.schemas.compiler.AddResource(documentURL, whole); err != nil {
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

// bare lists what has no example of all that a schema holds, by its path from the top.
func (d document) bare(path string, s schemaOf) (paths []string) {
	fields := d.fields(s)
	switch {
	case len(s.Examples) > 0:
		return nil
	case len(fields) > 0:
		for name, field := range fields {
			paths = append(paths, d.bare(path+"."+name, field)...)
		}
		return paths
	case s.Items != nil:
		return d.bare(path+"[]", *s.Items)
	}
	return []string{path}
}

// problem is where the schema of every error answer is.
var problem = []string{"components", "schemas", "Problem"}

// mismatch says in what an answer is not as an operation promises.
func (d document) mismatch(o *described, a answer) error {
	response, named := o.Responses[strconv.Itoa(a.status)]
	if !named {
		return fmt.Errorf("the status %d is not in the document", a.status)
	}
	if len(response.Content) == 0 {
		if a.body != "" {
			return fmt.Errorf("%d has a body: %s", a.status, a.body)
		}
		return nil
	}
	media, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil {
		return err
	}
	if _, named := response.Content[media]; !named {
		return fmt.Errorf("the media type %s of %d is not in the document", media, a.status)
	}
	return d.schemas.check(a.body, "paths", o.path, strings.ToLower(o.method), "responses", strconv.Itoa(a.status), "content", media, "schema")
}

const documentURL = "https://rlapp.test/openapi.json"

// schemas are those of a document; tests may ask for them at once.
type schemas struct {
	mu       sync.Mutex
	compiler *validator.Compiler
}

var escapePointer = strings.NewReplacer("~", "~0", "/", "~1")

// check compares JSON with the schema at a place in the document.
func (s *schemas) check(body string, place ...string) error {
	value, err := validator.UnmarshalJSON(strings.NewReader(body))
	if err != nil {
		return err
	}
	at := url.URL{}
	for _, key := range place {
		at.Fragment += "/" + escapePointer.Replace(key)
	}
	s.mu.Lock()
	compiled, err := s.compiler.Compile(documentURL + at.String())
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if err := compiled.Validate(value); err != nil {
		return fmt.Errorf("%w: %s", err, body)
	}
	return nil
}
