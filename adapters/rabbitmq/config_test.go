package rabbitmq_test

import (
	"bytes"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rlapp/rlapp/adapters/rabbitmq"
)

func TestConfigTellsEveryMistakeAtOnce(t *testing.T) {
	config := rabbitmq.Config{
		URL:            "amqp://user:hush#hush@localhost:5672/",
		Exchange:       "amq.topic",
		Prefetch:       70_000,
		DeliveryLimit:  -1,
		ConfirmTimeout: -time.Second,
		ReconnectDelay: time.Minute, MaxReconnectDelay: time.Second,
		Groups: []rabbitmq.Group{{Name: strings.Repeat("x", 200)}},
	}
	_, err := rabbitmq.NewSubscriber(discard(), config)
	if err == nil {
		t.Fatal("it was accepted")
	}
	for _, want := range []string{
		"URL", "reserved", "Prefetch", "DeliveryLimit", "ConfirmTimeout", "MaxReconnectDelay", "name \"\" of a consumer group",
		strings.Repeat("x", 200),
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not mention %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "hush") {
		t.Errorf("the error quotes the password:\n%v", err)
	}
}

func TestPasswordIsNeverLogged(t *testing.T) {
	var log bytes.Buffer
	config := quick(t, "g")
	u, err := url.Parse(config.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("guest", "hush")
	config.URL = u.String()
	publisher, err := rabbitmq.NewPublisher(slog.New(slog.NewTextHandler(&log, nil)), config)
	if err != nil {
		t.Fatal(err)
	}
	err = publisher.Publish("x", event("PatientCheckedIn", 0))
	wantUnavailable(t, err)
	_ = publisher.Close()
	if said := log.String() + err.Error(); strings.Contains(said, "hush") {
		t.Errorf("the password was told:\n%s", said)
	}
	if log.Len() == 0 {
		t.Error("nothing was logged")
	}
}
