package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// maxEvent bounds one event of a stream, in bytes.
	maxEvent = 16 << 20
	// maxSilence is how long a stream may say nothing; the server sends a comment every
	// 15 s.
	maxSilence = 45 * time.Second
)

// Follow calls show with the board of a queue, and again whenever it changes, until ctx
// ends; it then returns ctx's error. A connection that breaks is made again, and goes on
// where it was; a queue that does not exist yet is waited for, since a display is switched
// on before the first patient comes. It returns a *Problem where the server refuses for
// good.
func Follow(ctx context.Context, baseURL, queueID string, config Config, show func(Board)) error {
	config.setDefaults()
	if err := config.validate(); err != nil {
		return err
	}
	r := &retrier{config: config}
	last := ""
	for pause := config.Pause; ; {
		began := time.Now()
		err := r.follow(ctx, baseURL, queueID, &last, show)
		var refused *Problem
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &refused) && !passes(refused.Status):
			return err
		}
		if time.Since(began) > config.MaxPause { // it worked for a while
			pause = config.Pause
		}
		timer := time.NewTimer(r.wait(nil, pause))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		pause = r.longer(pause)
	}
}

// passes reports whether a stream that is refused so may be asked for again.
func passes(status int64) bool {
	return status == http.StatusNotFound || status == http.StatusTooManyRequests || status >= http.StatusInternalServerError
}

// follow reads one stream to its end.
func (r *retrier) follow(ctx context.Context, baseURL, queueID string, last *string, show func(Board)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(maxSilence, cancel)
	defer silence.Stop()
	address := strings.TrimSuffix(baseURL, "/") + "/api/v1/waiting-room/" + url.PathEscape(queueID) + "/stream"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	if *last != "" {
		request.Header.Set("Last-Event-ID", *last)
	}
	if err := r.identify(request); err != nil {
		return err
	}
	response, err := r.config.HTTPClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		body, err := io.ReadAll(io.LimitReader(response.Body, maxEvent))
		if err != nil {
			return err
		}
		return problemOf(response.StatusCode, body)
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxEvent)
	id := ""
	for lines.Scan() {
		silence.Reset(maxSilence)
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			id = value
		case "data":
			var b Board
			if err := json.Unmarshal([]byte(value), &b); err != nil {
				return fmt.Errorf("read the board: %w", err)
			}
			*last = id
			show(b)
		}
	}
	return lines.Err()
}
