package inprocess

import (
	"context"
	"reflect"
	"slices"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"
)

// topic is where messages of one name meet their subscribers.
type topic struct {
	mu          sync.RWMutex // held for reading while sending, so that no channel closes meanwhile
	subscribers []chan *message.Message
	declared    bool // takes messages without a subscriber

	changing sync.RWMutex  // keeps senders from mu while a change waits for it
	changed  chan struct{} // closed when a change begins, so that senders let go
}

// Subscribe returns a channel with messages of the topic, which closes when ctx
// ends or the PubSub has closed. Subscribers to the same topic share its
// messages. Several messages may be read before the first of them is acked. ctx
// is not passed to the messages: theirs is the publisher's. Subscribe returns
// ErrClosed after Close.
func (p *PubSub) Subscribe(ctx context.Context, name string) (<-chan *message.Message, error) {
	out := make(chan *message.Message)
	t, err := p.changeTopic(name, func(t *topic) { t.subscribers = append(t.subscribers, out) })
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() {
		t.remove(func(other chan *message.Message) bool { return other == out })
	})
	return out, nil
}

// SubscribeInitialize lets Publish take messages for the topic while it has no
// subscriber: up to MaxInFlight of them wait for one. It returns ErrClosed after
// Close.
func (p *PubSub) SubscribeInitialize(name string) error {
	_, err := p.changeTopic(name, func(t *topic) { t.declared = true })
	return err
}

// changeTopic does do to a topic, which it adds where it is new.
func (p *PubSub) changeTopic(name string, do func(*topic)) (*topic, error) {
	p.topicsMu.Lock()
	defer p.topicsMu.Unlock()
	if p.topics == nil {
		return nil, ErrClosed
	}
	t := p.topics[name]
	if t == nil {
		t = &topic{changed: make(chan struct{})}
		p.topics[name] = t
	}
	t.change(func() { do(t) })
	return t, nil
}

// openTopic returns the topic, or nil where a message cannot arrive now.
func (p *PubSub) openTopic(name string) *topic {
	p.topicsMu.RLock()
	t := p.topics[name]
	p.topicsMu.RUnlock()
	if t == nil {
		return nil
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if !t.declared && len(t.subscribers) == 0 {
		return nil
	}
	return t
}

// endTopics closes the channels of all subscribers.
func (p *PubSub) endTopics() {
	p.topicsMu.Lock()
	defer p.topicsMu.Unlock()
	for _, t := range p.topics {
		t.remove(func(chan *message.Message) bool { return true })
	}
	p.topics = nil
}

// send hands msg to a subscriber. It gives up, and returns false, when abandoned
// closes, or closing while nobody is subscribed.
func (t *topic) send(msg *message.Message, closing, abandoned <-chan struct{}) bool {
	for {
		sent, again := t.offer(msg, closing, abandoned)
		if !again {
			return sent
		}
	}
}

// offer is one try of send, over the subscribers of this moment.
func (t *topic) offer(msg *message.Message, closing, abandoned <-chan struct{}) (sent, again bool) {
	t.changing.RLock()
	t.mu.RLock()
	t.changing.RUnlock()
	defer t.mu.RUnlock()
	var out chan<- *message.Message
	giveUp := abandoned
	switch len(t.subscribers) {
	case 0:
		giveUp = closing
	case 1:
		out = t.subscribers[0]
	default:
		return t.offerMany(msg, abandoned)
	}
	select {
	case out <- msg:
		return true, false
	case <-t.changed:
		return false, true
	case <-giveUp:
		return false, false
	}
}

// offerMany offers msg to whichever of several subscribers reads first.
func (t *topic) offerMany(msg *message.Message, abandoned <-chan struct{}) (sent, again bool) {
	cases := []reflect.SelectCase{
		{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(abandoned)},
		{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(t.changed)},
	}
	for _, out := range t.subscribers {
		cases = append(cases, reflect.SelectCase{Dir: reflect.SelectSend, Chan: reflect.ValueOf(out), Send: reflect.ValueOf(msg)})
	}
	chosen, _, _ := reflect.Select(cases)
	return chosen > 1, chosen == 1
}

// change does do while nobody sends.
func (t *topic) change(do func()) {
	t.changing.Lock()
	defer t.changing.Unlock()
	close(t.changed)
	t.mu.Lock()
	defer t.mu.Unlock()
	do()
	t.changed = make(chan struct{})
}

// remove closes the channels of the subscribers that leave.
func (t *topic) remove(leaves func(chan *message.Message) bool) {
	t.change(func() {
		t.subscribers = slices.DeleteFunc(t.subscribers, func(out chan *message.Message) bool {
			if !leaves(out) {
				return false
			}
			close(out)
			return true
		})
	})
}
