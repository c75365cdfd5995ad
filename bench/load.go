package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// send has one event stored, and returns once that is acknowledged. worker counts
// from 0; a worker sends one event at a time.
type send func(ctx context.Context, worker, event int) error

// patient and queue name the patient and the queue of an event.
func patient(event int) string       { return "patient-" + strconv.Itoa(event) }
func queue(event, queues int) string { return "queue-" + strconv.Itoa(event%queues) }
func payload(queue, id string) string {
	return `{"queueId":"` + queue + `","patientId":"` + id +
		`","patientName":"Perpetua Testname","priority":"low","consultationType":"X-ray"}`
}

// clients are HTTP clients that cost little: each writes a request on its own
// connection and reads of the answer what it has to.
type clients struct {
	conns  []*client
	queues int
	offset int // of the events' numbers
}

type client struct {
	net.Conn
	in *bufio.Reader
}

// connect opens connections to an RLAPP process.
func connect(ctx context.Context, address string, n, queues int) (*clients, error) {
	c := &clients{queues: queues}
	for range n {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		c.conns = append(c.conns, &client{Conn: conn, in: bufio.NewReader(conn)})
	}
	return c, nil
}

func (c *clients) close() error {
	var errs []error
	for _, conn := range c.conns {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}

// checkIn is a send.
func (c *clients) checkIn(_ context.Context, worker, event int) error {
	event += c.offset
	status, body, err := c.conns[worker].post("/api/waiting-room/check-in", payload(queue(event, c.queues), patient(event)))
	if err != nil {
		return err
	}
	if status != 200 {
		return fmt.Errorf("check-in %d was answered %d: %s", event, status, body)
	}
	return nil
}

const httpTimeout = 30 * time.Second

// post sends one request and reads its answer; keep-alive, HTTP/1.1.
func (c *client) post(path, body string) (status int, answer []byte, err error) {
	if err := c.SetDeadline(time.Now().Add(httpTimeout)); err != nil {
		return 0, nil, err
	}
	request := "POST " + path + " HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: " +
		strconv.Itoa(len(body)) + "\r\n\r\n" + body
	if _, err := io.WriteString(c, request); err != nil {
		return 0, nil, err
	}
	length := 0
	for first := true; ; first = false {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return 0, nil, err
		}
		text := strings.TrimRight(string(line), "\r\n")
		if first {
			if len(text) < 12 {
				return 0, nil, fmt.Errorf("the answer begins with %q", text)
			}
			if status, err = strconv.Atoi(text[9:12]); err != nil {
				return 0, nil, err
			}
			continue
		}
		if text == "" {
			break
		}
		if name, value, _ := strings.Cut(text, ":"); strings.EqualFold(name, "Content-Length") {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return 0, nil, err
			}
		}
	}
	answer = make([]byte, length)
	_, err = io.ReadFull(c.in, answer)
	return status, answer, err
}

// closed sends as fast as answers come, for a time or until a number of events is
// reached, whichever is first; 0 stands for no limit. It returns the number of
// acknowledged events and their latencies in milliseconds.
func closed(ctx context.Context, workers int, limit int, duration time.Duration, do send) (events int, took time.Duration, latencies []float64, err error) {
	if duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, duration)
		defer cancel()
	}
	var next atomic.Int64
	all := make([][]float64, workers)
	errs := make([]error, workers)
	var group sync.WaitGroup
	begin := time.Now()
	for w := range workers {
		group.Go(func() {
			for ctx.Err() == nil {
				event := int(next.Add(1))
				if limit > 0 && event > limit {
					return
				}
				sent := time.Now()
				if errs[w] = do(context.WithoutCancel(ctx), w, event); errs[w] != nil {
					return
				}
				all[w] = append(all[w], float64(time.Since(sent).Microseconds())/1000)
			}
		})
	}
	group.Wait()
	took = time.Since(begin)
	latencies = slices.Concat(all...)
	return len(latencies), took, latencies, errors.Join(errs...)
}

// steady sends at a rate for a time, whether answers come or not: an event that
// finds no free worker waits for one, and is late. It returns how many events were
// acknowledged and by how much the last one was late.
func steady(ctx context.Context, workers int, rate float64, duration time.Duration, do send) (events int, late time.Duration, err error) {
	total := int(rate * duration.Seconds())
	due := make(chan int, total)
	errs := make([]error, workers)
	var group sync.WaitGroup
	var lastSent atomic.Int64
	begin := time.Now()
	for w := range workers {
		group.Go(func() {
			for event := range due {
				if errs[w] == nil {
					errs[w] = do(ctx, w, event)
				}
				lastSent.Store(int64(time.Since(begin)))
			}
		})
	}
	for event := 1; event <= total; event++ {
		at := begin.Add(time.Duration(float64(event) / rate * float64(time.Second)))
		if wait := time.Until(at); wait > 0 {
			pause(ctx, wait)
		}
		due <- event
	}
	close(due)
	group.Wait()
	return total, max(0, time.Duration(lastSent.Load())-duration), errors.Join(errs...)
}

// pause waits, at most until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// until polls for a condition, at most for a time.
func until(ctx context.Context, limit time.Duration, is func() (bool, error)) error {
	deadline := time.Now().Add(limit)
	for {
		done, err := is()
		if done || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it did not come about within %v", limit)
		}
		pause(ctx, 20*time.Millisecond)
	}
}
