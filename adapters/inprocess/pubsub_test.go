package inprocess_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"

	"github.com/rlapp/rlapp/adapters/inprocess"
)

const topic = "command.check-in"

func newPubSub(t *testing.T, config inprocess.Config) *inprocess.PubSub {
	t.Helper()
	p, err := inprocess.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func subscribe(t *testing.T, p *inprocess.PubSub) <-chan *message.Message {
	t.Helper()
	messages, err := p.Subscribe(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	return messages
}

func newMessage(ctx context.Context, id string) *message.Message {
	return message.NewMessageWithContext(ctx, id, []byte(`{}`))
}

func publish(t *testing.T, p *inprocess.PubSub, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := p.Publish(topic, newMessage(t.Context(), id)); err != nil {
			t.Fatal(err)
		}
	}
}

func mustClose(t *testing.T, p *inprocess.PubSub) {
	t.Helper()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// TestConcurrency has 1,000 commands that all wait for the last of them.
func TestConcurrency(t *testing.T) {
	const commands = 1000
	p := newPubSub(t, inprocess.Config{})
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		t.Fatal(err)
	}
	var arrived sync.WaitGroup
	arrived.Add(commands)
	router.AddConsumerHandler(topic, topic, p, func(msg *message.Message) error {
		arrived.Done()
		arrived.Wait()
		return nil
	})
	var running sync.WaitGroup
	running.Go(func() {
		if err := router.Run(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	<-router.Running()
	for i := range commands {
		publish(t, p, fmt.Sprint(i))
	}
	arrived.Wait()
	mustClose(t, p)
	running.Wait() // the router ends with its last subscription
}

func TestPublishBlocksWhileFull(t *testing.T) {
	tests := []struct {
		name   string
		unlock func(t *testing.T, p *inprocess.PubSub, held *message.Message, cancel context.CancelFunc)
		want   error
	}{
		{"until an ack", func(_ *testing.T, _ *inprocess.PubSub, held *message.Message, _ context.CancelFunc) {
			held.Ack()
		}, nil},
		{"until its context ends", func(_ *testing.T, _ *inprocess.PubSub, held *message.Message, cancel context.CancelFunc) {
			cancel()
			synctest.Wait()
			held.Ack()
		}, context.Canceled},
		{"until Close", func(t *testing.T, p *inprocess.PubSub, held *message.Message, _ context.CancelFunc) {
			go func() {
				synctest.Wait()
				held.Ack()
			}()
			mustClose(t, p)
		}, inprocess.ErrClosed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPubSub(t, inprocess.Config{MaxInFlight: 1})
				messages := subscribe(t, p)
				publish(t, p, "first")
				held := <-messages
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				published := make(chan error, 1)
				go func() { published <- p.Publish(topic, newMessage(ctx, "second")) }()
				synctest.Wait()
				select {
				case err := <-published:
					t.Fatalf("Publish to a full bus returned %v", err)
				default:
				}
				tt.unlock(t, p, held, cancel)
				if err := <-published; !errors.Is(err, tt.want) {
					t.Errorf("Publish returned %v, want %v", err, tt.want)
				}
				if tt.want == nil {
					(<-messages).Ack()
				}
				mustClose(t, p)
			})
		})
	}
}

func TestPublishRefuses(t *testing.T) {
	p := newPubSub(t, inprocess.Config{})
	ended, end := context.WithCancel(t.Context())
	end()

	err := p.Publish(topic, newMessage(t.Context(), "1"))
	want := &inprocess.NoSubscriberError{Topic: topic}
	var got *inprocess.NoSubscriberError
	if !errors.As(err, &got) || cmp.Diff(want, got) != "" {
		t.Errorf("without a subscriber: got %v, want %v", err, want)
	}

	ctx, unsubscribe := context.WithCancel(t.Context())
	messages, err := p.Subscribe(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(topic, newMessage(ended, "2")); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: got %v", err)
	}
	unsubscribe()
	if _, open := <-messages; open {
		t.Error("a message came that was refused")
	}
	if err := p.Publish(topic, newMessage(t.Context(), "3")); !errors.As(err, &got) {
		t.Errorf("after the subscription: got %v", err)
	}

	mustClose(t, p)
	if err := p.Publish(topic, newMessage(t.Context(), "4")); !errors.Is(err, inprocess.ErrClosed) {
		t.Errorf("after Close: got %v", err)
	}
	if _, err := p.Subscribe(t.Context(), topic); !errors.Is(err, inprocess.ErrClosed) {
		t.Errorf("Subscribe after Close: got %v", err)
	}
	if err := p.SubscribeInitialize(topic); !errors.Is(err, inprocess.ErrClosed) {
		t.Errorf("SubscribeInitialize after Close: got %v", err)
	}
}

// TestNack checks that a nacked message comes again as it was published.
func TestNack(t *testing.T) {
	p := newPubSub(t, inprocess.Config{})
	messages := subscribe(t, p)
	published := newMessage(t.Context(), "1")
	published.Metadata.Set("kept", "yes")
	if err := p.Publish(topic, published); err != nil {
		t.Fatal(err)
	}
	first := <-messages
	first.Metadata.Set("kept", "changed by the handler")
	first.SetContext(context.WithValue(first.Context(), contextKey{}, "set by the handler"))
	first.Nack()
	second := <-messages
	if diff := cmp.Diff(message.Metadata{"kept": "yes"}, second.Metadata); diff != "" {
		t.Error(diff)
	}
	if second.Context() != published.Context() {
		t.Error("the message came again with another context than it was published with")
	}
	second.Ack()
	mustClose(t, p)
}

type contextKey struct{}

func TestContextCarriesOver(t *testing.T) {
	p := newPubSub(t, inprocess.Config{})
	messages := subscribe(t, p)
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), contextKey{}, "value"))
	if err := p.Publish(topic, newMessage(ctx, "1")); err != nil {
		t.Fatal(err)
	}
	msg := <-messages
	if got := msg.Context().Value(contextKey{}); got != "value" {
		t.Errorf("the context has %v", got)
	}
	msg.Ack()
	if err := msg.Context().Err(); err != nil {
		t.Errorf("the ack ended the context: %v", err)
	}
	cancel()
	<-msg.Context().Done()
	mustClose(t, p)
}

// TestSubscribersShare checks that a message goes to one subscriber, and that
// one that does not read holds up nothing.
func TestSubscribersShare(t *testing.T) {
	p := newPubSub(t, inprocess.Config{})
	subscribe(t, p) // never read
	messages := subscribe(t, p)
	want := map[string]bool{}
	for i := range 100 {
		want[fmt.Sprint(i)] = true
		publish(t, p, fmt.Sprint(i))
	}
	got := map[string]bool{}
	for range want {
		msg := <-messages
		got[msg.UUID] = true
		msg.Ack()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	mustClose(t, p)
}

// TestNextSubscriberTakesOver checks that messages which a subscriber left
// behind, untaken or nacked, go to the next one.
func TestNextSubscriberTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPubSub(t, inprocess.Config{})
		ctx, unsubscribe := context.WithCancel(t.Context())
		messages, err := p.Subscribe(ctx, topic)
		if err != nil {
			t.Fatal(err)
		}
		publish(t, p, "1", "2", "3")
		nacked, acked := <-messages, <-messages
		unsubscribe()
		synctest.Wait()
		if msg, open := <-messages; open {
			t.Errorf("message %q came after the end of the subscription", msg.UUID)
		}
		nacked.Nack()
		acked.Ack()
		next := subscribe(t, p)
		for range 2 {
			msg := <-next
			if msg.UUID == acked.UUID {
				t.Errorf("message %q came after its ack", msg.UUID)
			}
			msg.Ack()
		}
		mustClose(t, p)
	})
}

func TestCloseWaitsForAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPubSub(t, inprocess.Config{CloseTimeout: time.Minute})
		messages := subscribe(t, p)
		publish(t, p, "taken", "not taken")
		first := <-messages
		start := time.Now()
		go func() {
			<-time.After(10 * time.Second) // of the bubble's clock
			first.Ack()
			(<-messages).Ack()
		}()
		mustClose(t, p)
		if waited := time.Since(start); waited != 10*time.Second {
			t.Errorf("Close returned after %v", waited)
		}
		if _, open := <-messages; open {
			t.Error("the channel is open after Close")
		}
	})
}

func TestCloseGivesUp(t *testing.T) {
	tests := []struct {
		name string
		end  bool // the subscription, before Close
		wait time.Duration
	}{
		{"what is not acked in time", false, 30 * time.Second},
		{"what nobody can take any more", true, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPubSub(t, inprocess.Config{})
				ctx, end := context.WithCancel(t.Context())
				defer end()
				messages, err := p.Subscribe(ctx, topic)
				if err != nil {
					t.Fatal(err)
				}
				publish(t, p, "1", "2")
				if tt.end {
					end()
					synctest.Wait()
				} else {
					<-messages // and no ack
				}
				start := time.Now()
				err = p.Close()
				var got *inprocess.UnackedError
				if !errors.As(err, &got) || got.Count != 2 {
					t.Errorf("Close returned %v, want 2 not acked", err)
				}
				if waited := time.Since(start); waited != tt.wait {
					t.Errorf("Close returned after %v, want %v", waited, tt.wait)
				}
				if again := p.Close(); !errors.Is(again, err) {
					t.Errorf("the second Close returned %v, want %v", again, err)
				}
			})
		})
	}
}

// TestStress has everything at once, for the race detector.
func TestStress(t *testing.T) {
	const publishers, each = 8, 200
	p := newPubSub(t, inprocess.Config{MaxInFlight: 16})
	if err := p.SubscribeInitialize(topic); err != nil {
		t.Fatal(err)
	}
	var (
		handling sync.WaitGroup
		sending  sync.WaitGroup
		mu       sync.Mutex
		acks     = map[string]int{}
	)
	for i := range 4 {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		messages, err := p.Subscribe(ctx, topic)
		if err != nil {
			t.Fatal(err)
		}
		handling.Go(func() {
			n := 0
			for msg := range messages {
				if n++; n%10 == i {
					msg.Nack()
					continue
				}
				mu.Lock()
				acks[msg.UUID]++
				mu.Unlock()
				msg.Ack()
				if i > 0 && n > 50*i { // all but the first leave early
					cancel()
				}
			}
		})
	}
	for i := range publishers {
		sending.Go(func() {
			for j := range each {
				publish(t, p, fmt.Sprintf("%d-%d", i, j))
			}
		})
	}
	sending.Wait()
	mustClose(t, p)
	handling.Wait()
	if len(acks) != publishers*each {
		t.Errorf("%d messages were acked, want %d", len(acks), publishers*each)
	}
	for id, n := range acks {
		if n != 1 {
			t.Errorf("message %s was acked %d times", id, n)
		}
	}
}

func TestNewNamesEveryMistake(t *testing.T) {
	_, err := inprocess.New(inprocess.Config{MaxInFlight: -1, CloseTimeout: -1})
	want := "in-process Pub/Sub config: MaxInFlight must be positive\nCloseTimeout must be positive"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
