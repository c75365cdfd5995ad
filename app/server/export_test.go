package server

import (
	"context"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
)

func init() { lookForReplays = 100 * time.Millisecond }

// Process gives the tests the stages of a process.
type Process struct{ *process }

// NewProcess returns a process without stages.
func NewProcess() Process { return Process{newProcess(slog.New(slog.DiscardHandler))} }

// Start adds a stage.
func (p Process) Start(ctx context.Context, name string, run func(context.Context) error, stop func() error) error {
	return p.start(ctx, stage{name: name, run: run, stop: stop})
}

// Wait and Stop are those of a process.
func (p Process) Wait(ctx context.Context) error   { return p.wait(ctx) }
func (p Process) Stop(timeout time.Duration) error { return p.stop(timeout) }

// LaneChannel is the in-process transport.
type LaneChannel struct{ *laneChannel }

// NewLaneChannel returns an in-process transport.
func NewLaneChannel(logger watermill.LoggerAdapter) LaneChannel {
	return LaneChannel{newLaneChannel(logger)}
}

// Subscriber is the end of one handler.
func (l LaneChannel) Subscriber(maxInFlight int) message.Subscriber { return l.subscriber(maxInFlight) }
