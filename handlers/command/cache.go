package command

import (
	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/rlapp/rlapp/waitingroom"
)

// cache keeps the queues that were used last, so that a command need not load
// its queue. Its lane alone uses it. What it keeps may be behind the store, where
// another process writes too; the store notices that at the next append.
type cache struct {
	queues *simplelru.LRU[string, *cached]
	// size is the number of queues and patients kept, limit the most of them. One
	// queue is kept whatever its size.
	size, limit int
}

type cached struct {
	queue *waitingroom.Queue
	size  int
	stale bool
}

func newCache(limit int) *cache {
	c := &cache{limit: limit}
	// The number of queues is bounded by their size: each counts at least 1.
	c.queues, _ = simplelru.NewLRU(max(limit, 1), func(_ string, gone *cached) { c.size -= gone.size })
	return c
}

// get returns a queue, or nil, and whether it has to be brought up to date.
func (c *cache) get(queueID string) (queue *waitingroom.Queue, stale bool) {
	hit, ok := c.queues.Get(queueID)
	if !ok {
		return nil, false
	}
	return hit.queue, hit.stale
}

// doubt makes a queue stale.
func (c *cache) doubt(queueID string) {
	if hit, ok := c.queues.Peek(queueID); ok {
		hit.stale = true
	}
}

func (c *cache) put(queueID string, queue *waitingroom.Queue) {
	c.queues.Remove(queueID)
	kept := &cached{queue: queue, size: 1 + queue.Active()}
	c.size += kept.size
	c.queues.Add(queueID, kept)
	for c.size > c.limit && c.queues.Len() > 1 {
		c.queues.RemoveOldest()
	}
}

func (c *cache) drop(queueID string) { c.queues.Remove(queueID) }
