package schema

import "hash/fnv"

// Topic is the Watermill topic of all events, and the name of the RabbitMQ
// exchange behind it.
const Topic = "waiting_room_events"

// OutboxChannel is the PostgreSQL notification channel that wakes relays.
const OutboxChannel = "waiting_room_outbox"

// Lanes is the number of lanes that queues are spread over. Events of one lane
// keep their order; lanes may run beside one another.
const Lanes = 16

// Lane is the lane of a queue, from 0 to Lanes-1. It is part of the routing key,
// so it must never change for an id.
func Lane(queueID string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(queueID))
	return int(h.Sum32() % Lanes)
}
