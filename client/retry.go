package client

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// keyHeader makes a command safe to send again.
const keyHeader = "Idempotency-Key"

// retrier sends requests again. It implements HttpRequestDoer.
type retrier struct{ config Config }

// Do sends a request until it is answered for good, at most Attempts times or until its
// context ends. It returns the last answer or error.
func (r *retrier) Do(request *http.Request) (*http.Response, error) {
	body, err := readAll(request)
	if err != nil {
		return nil, err
	}
	if request.Method == http.MethodPost && request.Header.Get(keyHeader) == "" {
		request.Header.Set(keyHeader, uuid.NewString())
	}
	pause := r.config.Pause
	for attempt := 1; ; attempt++ {
		response, err := r.once(request, body)
		if attempt == r.config.Attempts || !again(request.Context(), response, err) {
			return response, err
		}
		wait := r.wait(response, pause)
		if response != nil {
			_ = response.Body.Close()
		}
		timer := time.NewTimer(wait)
		select {
		case <-request.Context().Done():
			timer.Stop()
			return nil, fmt.Errorf("send the request again: %w", request.Context().Err())
		case <-timer.C:
		}
		pause = r.longer(pause)
	}
}

// readAll keeps the body for the next attempts.
func readAll(request *http.Request) ([]byte, error) {
	if request.Body == nil {
		return nil, nil
	}
	defer func() { _ = request.Body.Close() }()
	return io.ReadAll(request.Body)
}

// once sends one attempt. The answer is read to its end within AttemptTimeout.
func (r *retrier) once(request *http.Request, body []byte) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(request.Context(), r.config.AttemptTimeout)
	defer cancel()
	attempt := request.Clone(ctx)
	if body != nil {
		attempt.Body = io.NopCloser(bytes.NewReader(body))
	}
	if err := r.identify(attempt); err != nil {
		return nil, err
	}
	response, err := r.config.HTTPClient.Do(attempt)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(answer))
	return response, nil
}

func (r *retrier) identify(request *http.Request) error {
	if r.config.APIKey != "" {
		request.Header.Set("X-Api-Key", r.config.APIKey)
	}
	if r.config.Token == nil {
		return nil
	}
	token, err := r.config.Token()
	if err != nil {
		return fmt.Errorf("get a token: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// again says whether another attempt may help: after a lost answer, where the server is
// away or overloaded, and while the first attempt is still at work.
func again(ctx context.Context, response *http.Response, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	if err != nil {
		return true
	}
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case http.StatusConflict: // with Retry-After only where the first attempt is at work
		return response.Header.Get("Retry-After") != ""
	}
	return false
}

// longer is the pause after a pause: twice that, up to MaxPause.
func (r *retrier) longer(pause time.Duration) time.Duration {
	if pause > r.config.MaxPause/2 {
		return r.config.MaxPause
	}
	return 2 * pause
}

// wait is what the server asks for, else the pause, of which a random half is left out so
// that clients do not come back all at once.
func (r *retrier) wait(response *http.Response, pause time.Duration) time.Duration {
	if response != nil {
		if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds >= 0 {
			return min(time.Duration(seconds)*time.Second, r.config.MaxPause)
		}
	}
	pause = min(pause, r.config.MaxPause)
	return pause/2 + rand.N(pause/2+1) //nolint:gosec // no secret
}
