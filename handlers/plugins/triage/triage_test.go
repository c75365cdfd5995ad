package triage_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/rlapp/rlapp/handlers/plugin"
	"github.com/rlapp/rlapp/handlers/plugins/triage"
	"github.com/rlapp/rlapp/schema"
)

func TestOnlyUrgentPatientsAreTold(t *testing.T) {
	var log bytes.Buffer
	transport := gochannel.NewGoChannel(gochannel.Config{BlockPublishUntilSubscriberAck: true}, watermill.NopLogger{})
	register, err := plugin.Register([]plugin.Plugin{triage.New(slog.New(slog.NewTextHandler(&log, nil)))},
		func(plugin.Queue) (message.Subscriber, error) { return transport, nil },
		transport, slog.New(slog.DiscardHandler), plugin.Config{})
	if err != nil {
		t.Fatal(err)
	}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	router.AddPlugin(register)
	done := make(chan error)
	go func() { done <- router.Run(context.WithoutCancel(t.Context())) }()
	<-router.Running()
	for n, priority := range []string{"Urgent", "High"} {
		e := schema.PatientCheckedIn{QueueID: "q", PatientID: priority, PatientName: "John Doe", Priority: priority}
		payload, err := schema.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		m := message.NewMessage(watermill.NewUUID(), payload)
		m.Metadata = schema.Headers(e.EventName(), schema.Metadata{AggregateID: "q", Version: int64(n + 1), OccurredAt: time.Now(), SchemaVersion: 1})
		if err := transport.Publish(schema.Topic, m); err != nil {
			t.Fatal(err)
		}
	}
	if err := router.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := log.String(); !strings.Contains(got, "patientId=Urgent") || strings.Contains(got, "patientId=High") || strings.Contains(got, "John") {
		t.Errorf("the log says: %s", got)
	}
}
