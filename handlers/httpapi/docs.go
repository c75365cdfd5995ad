package httpapi

import (
	_ "embed"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed docs.html
var docsSource string

var docsTemplate = template.Must(template.New("docs").Parse(docsSource))

// docsPage renders the OpenAPI document as one page that loads nothing from
// another host: it works on a clinic's network without Internet.
func docsPage(document *huma.OpenAPI) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		_ = docsTemplate.Execute(w, struct {
			Info       *huma.Info
			Operations []documentedOperation
		}{document.Info, documentedOperations(document)})
	}
}

type documentedOperation struct {
	*huma.Operation
	Fields []documentedField
}

type documentedField struct {
	Name, Type, Doc string
	Required        bool
}

func documentedOperations(document *huma.OpenAPI) []documentedOperation {
	var operations []documentedOperation
	for _, item := range document.Paths {
		for _, o := range []*huma.Operation{item.Get, item.Post} {
			if o != nil {
				operations = append(operations, documentedOperation{Operation: o, Fields: bodyFields(document, o)})
			}
		}
	}
	slices.SortFunc(operations, func(a, b documentedOperation) int {
		return strings.Compare(a.Tags[0]+a.Path, b.Tags[0]+b.Path)
	})
	return operations
}

func bodyFields(document *huma.OpenAPI, o *huma.Operation) []documentedField {
	if o.RequestBody == nil {
		return nil
	}
	schema := o.RequestBody.Content["application/json"].Schema
	if schema.Ref != "" {
		schema = document.Components.Schemas.SchemaFromRef(schema.Ref)
	}
	var fields []documentedField
	for name, property := range schema.Properties {
		fields = append(fields, documentedField{
			Name: name, Type: property.Type, Doc: property.Description, Required: slices.Contains(schema.Required, name),
		})
	}
	slices.SortFunc(fields, func(a, b documentedField) int {
		if a.Required != b.Required {
			if a.Required {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return fields
}
