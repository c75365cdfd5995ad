package schema_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"github.com/rlapp/rlapp/schema"
)

// schemaFile is where the JSON Schema of a version of an event is.
func schemaFile(name string, version int) string {
	return filepath.Join("jsonschema", name+".v"+strconv.Itoa(version)+".json")
}

// reflected makes the JSON Schema of an event out of its type and comments.
func reflected(t *testing.T, event schema.Event) *jsonschema.Schema {
	t.Helper()
	r := jsonschema.Reflector{Anonymous: true, DoNotReference: true}
	if err := r.AddGoComments("github.com/rlapp/rlapp/schema", "./"); err != nil {
		t.Fatal(err)
	}
	// The package's comments are found below its path, wherever the test runs.
	for key, text := range r.CommentMap {
		r.CommentMap[key] = strings.Join(strings.Fields(text), " ")
	}
	s := r.Reflect(event)
	s.Title = event.EventName()
	if queue, ok := s.Properties.Get("queueId"); ok {
		queue.Description = "The queue that the event belongs to."
		queue.MinLength = new(uint64)
		*queue.MinLength = 1
	}
	return s
}

// The newest version of every event has the JSON Schema of its type; those of earlier
// versions are never changed.
func TestJSONSchemas(t *testing.T) {
	for _, event := range catalogue {
		want, err := json.MarshalIndent(reflected(t, event), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		wantGenerated(t, schemaFile(event.EventName(), schema.CurrentVersion(event.EventName())), append(want, '\n'))
	}
}

// Every golden file is valid by its schema, and without any field that must be there it
// is not.
func TestGoldenFilesAreValid(t *testing.T) {
	for _, name := range schema.EventNames() {
		for version := 1; version <= schema.CurrentVersion(name); version++ {
			t.Run(fmt.Sprintf("%s.v%d", name, version), func(t *testing.T) {
				compiled, err := validator.NewCompiler().Compile(schemaFile(name, version))
				if err != nil {
					t.Fatal(err)
				}
				golden, err := os.ReadFile(filepath.Join("testdata", "events", name+".v"+strconv.Itoa(version)+".json"))
				if err != nil {
					t.Fatal(err)
				}
				var payload map[string]any
				if err := json.Unmarshal(golden, &payload); err != nil {
					t.Fatal(err)
				}
				if err := compiled.Validate(payload); err != nil {
					t.Errorf("the golden file is not valid: %v", err)
				}
				if len(compiled.Required) < 2 {
					t.Errorf("only %v must be there", compiled.Required)
				}
				for _, field := range compiled.Required {
					without := maps.Clone(payload)
					delete(without, field)
					if compiled.Validate(without) == nil {
						t.Errorf("valid without %s", field)
					}
				}
				payload["surprise"] = 1
				if compiled.Validate(payload) == nil {
					t.Error("valid with a field that does not exist")
				}
			})
		}
	}
}

// schema/asyncapi.yaml describes the exchange; it is made of the catalogue.
func TestTheAsyncAPIDocument(t *testing.T) {
	want, err := encodeYAML(asyncAPI(t))
	if err != nil {
		t.Fatal(err)
	}
	wantGenerated(t, "asyncapi.yaml", want)

	var document any
	if err := yaml.Unmarshal(want, &document); err != nil {
		t.Fatal(err)
	}
	compiled, err := validator.NewCompiler().Compile(filepath.Join("testdata", "asyncapi-3.0.0.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiled.Validate(document); err != nil {
		t.Errorf("it is no AsyncAPI 3 document: %v", err)
	}
	for _, name := range schema.EventNames() {
		if !bytes.Contains(want, []byte(name+":")) {
			t.Errorf("%s is not described", name)
		}
	}
}

func encodeYAML(document any) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("# Generated from the catalogue of events; go test ./schema -run TestTheAsyncAPIDocument -update writes it anew.\n")
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	err := encoder.Encode(document)
	return b.Bytes(), err
}

func asyncAPI(t *testing.T) map[string]any {
	t.Helper()
	messages, channelMessages, operationMessages := map[string]any{}, map[string]any{}, []any{}
	for _, event := range catalogue {
		name := event.EventName()
		messages[name] = message(t, event)
		channelMessages[name] = map[string]any{"$ref": "#/components/messages/" + name}
		operationMessages = append(operationMessages, map[string]any{"$ref": "#/channels/events/messages/" + name})
	}
	return map[string]any{
		"asyncapi": "3.0.0",
		"info": map[string]any{
			"title": "RLAPP waiting room events", "version": "1.0.0",
			"description": "Every event of every queue, in the order of its queue, at least once. Bind a durable queue to the exchange; a handler plugin gets one of its own (docs/plugins.md).",
		},
		"defaultContentType": "application/json",
		"servers": map[string]any{"local": map[string]any{
			"host": "127.0.0.1:5672", "protocol": "amqp", "protocolVersion": "0.9.1", "description": "RabbitMQ of the compose stack.",
		}},
		"channels": map[string]any{"events": map[string]any{
			"address":     "{eventName}.{lane}",
			"description": "The routing key: the event's name and the lane of its queue.",
			"parameters": map[string]any{
				"eventName": map[string]any{"description": "The event's name.", "enum": schema.EventNames()},
				"lane":      map[string]any{"description": fmt.Sprintf("The lane of the queue: FNV-1a of its id, 32 bits, modulo %d.", schema.Lanes)},
			},
			"messages": channelMessages,
			"bindings": map[string]any{"amqp": map[string]any{
				"is": "routingKey", "bindingVersion": "0.3.0",
				"exchange": map[string]any{"name": schema.Topic, "type": "topic", "durable": true, "autoDelete": false, "vhost": "/"},
			}},
		}},
		"operations": map[string]any{"publishEvents": map[string]any{
			"action": "send", "summary": "The relay publishes what the outbox holds.",
			"channel": map[string]any{"$ref": "#/channels/events"}, "messages": operationMessages,
			"bindings": map[string]any{"amqp": map[string]any{"deliveryMode": 2, "mandatory": true, "bindingVersion": "0.3.0"}},
		}},
		"components": map[string]any{"messages": messages, "schemas": map[string]any{"Headers": headersSchema()}},
	}
}

func message(t *testing.T, event schema.Event) map[string]any {
	t.Helper()
	encoded, err := json.Marshal(reflected(t, event))
	if err != nil {
		t.Fatal(err)
	}
	var payload map[string]any
	if err := json.Unmarshal(encoded, &payload); err != nil {
		t.Fatal(err)
	}
	delete(payload, "$schema")
	name := event.EventName()
	example, err := schema.Encode(event)
	if err != nil {
		t.Fatal(err)
	}
	var shown map[string]any
	if err := json.Unmarshal(example, &shown); err != nil {
		t.Fatal(err)
	}
	return map[string]any{
		"name": name, "title": name, "summary": payload["description"], "contentType": "application/json",
		"description": fmt.Sprintf("Version %d. Readers refuse versions that they do not know.", schema.CurrentVersion(name)),
		"headers":     map[string]any{"$ref": "#/components/schemas/Headers"},
		"payload":     payload,
		"examples":    []any{map[string]any{"payload": shown}},
	}
}

func headersSchema() map[string]any {
	text := func(description string) map[string]any {
		return map[string]any{"type": "string", "description": description}
	}
	properties := map[string]any{
		schema.HeaderEventName: text("The event's name."), schema.HeaderAggregateID: text("The queue's id."),
		schema.HeaderVersion:       text("The event's version in its queue, from 1, without gaps."),
		schema.HeaderOccurredAt:    text("When it happened, RFC 3339."),
		schema.HeaderCorrelationID: text("Ties together all that one request caused."),
		schema.HeaderCausationID:   text("The message that led to it."),
		schema.HeaderSchemaVersion: text("The version of the payload's form."),
		schema.HeaderLane:          text("The queue's lane."),
		schema.HeaderPublishedAt:   text("When the relay published it, RFC 3339."),
	}
	required := slices.Sorted(maps.Keys(properties))
	required = slices.DeleteFunc(required, func(name string) bool { return name == schema.HeaderCausationID })
	return map[string]any{"type": "object", "properties": properties, "required": required}
}

// wantGenerated compares a checked-in file with what it is made from.
func wantGenerated(t *testing.T, path string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is stale; run go test ./schema -update\n%s", path, diff)
	}
}
