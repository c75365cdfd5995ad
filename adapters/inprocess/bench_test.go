package inprocess_test

import (
	"context"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/rlapp/rlapp/adapters/inprocess"
)

type replyKey struct{}

type pubSub interface {
	message.Publisher
	message.Subscriber
}

// BenchmarkRequest sends a command and waits for its reply, as the HTTP edge
// does, over this PubSub and over Watermill's GoChannel. The handler runs in a
// goroutine for each message, as in Watermill's router. "one" is the latency of a
// lone client; "many" are 128 clients at once; "slow" are 128 clients of a
// handler that takes 1 ms, the time of a commit.
func BenchmarkRequest(b *testing.B) {
	pubSubs := []struct {
		name string
		open func() (pubSub, error)
	}{
		{"inprocess", func() (pubSub, error) { return inprocess.New(inprocess.Config{}) }},
		{"gochannel", func() (pubSub, error) {
			return gochannel.NewGoChannel(gochannel.Config{PreserveContext: true}, watermill.NopLogger{}), nil
		}},
	}
	cases := []struct {
		name    string
		clients int
		work    time.Duration
	}{{"one", 0, 0}, {"many", 64, 0}, {"slow", 64, time.Millisecond}}
	for _, c := range cases {
		for _, ps := range pubSubs {
			b.Run(c.name+"/"+ps.name, func(b *testing.B) {
				p, err := ps.open()
				if err != nil {
					b.Fatal(err)
				}
				serve(b, p, c.work)
				b.ReportAllocs()
				if c.clients == 0 {
					for b.Loop() {
						request(b, p)
					}
				} else {
					b.SetParallelism(c.clients) // for each of GOMAXPROCS
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							request(b, p)
						}
					})
				}
				if err := p.Close(); err != nil {
					b.Error(err)
				}
			})
		}
	}
}

func serve(b *testing.B, p pubSub, work time.Duration) {
	messages, err := p.Subscribe(b.Context(), topic)
	if err != nil {
		b.Fatal(err)
	}
	handle := func(msg *message.Message) {
		if work > 0 {
			<-time.After(work)
		}
		msg.Context().Value(replyKey{}).(chan struct{}) <- struct{}{}
		msg.Ack()
	}
	go func() {
		for msg := range messages {
			go handle(msg)
		}
	}()
}

func request(b *testing.B, p pubSub) {
	replies := make(chan struct{}, 1)
	msg := message.NewMessage("id", []byte(`{}`))
	msg.SetContext(context.WithValue(b.Context(), replyKey{}, replies))
	if err := p.Publish(topic, msg); err != nil {
		b.Error(err)
		return
	}
	<-replies
}
