package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

// operatorFlags are those of every command that asks a running API.
type operatorFlags struct {
	API string `help:"Base URL of the API." default:"http://127.0.0.1:5000" env:"RLAPP_API" name:"api"`
	Key string `help:"API key, where the API asks for one." env:"RLAPP_API_KEY" name:"api-key"`
}

// whoFlags say who acts; it is recorded.
type whoFlags struct {
	Actor  string `help:"Who does it; recorded." default:"${user}"`
	Reason string `help:"Why; recorded."`
}

// operatorTimeout bounds one request of an operator.
const operatorTimeout = 30 * time.Second

// operator asks a running API and prints what it answers.
type operator struct {
	ctx context.Context //nolint:containedctx // that of the one command
	out io.Writer
}

// ask sends a request and decodes the answer into into. A refusal comes back as an
// error that says what the API said.
func (o operator) ask(flags operatorFlags, method, path string, body, into any) error {
	ctx, cancel := context.WithTimeout(o.ctx, operatorTimeout)
	defer cancel()
	var payload io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(flags.API, "/")+path, payload)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if flags.Key != "" {
		request.Header.Set("X-Api-Key", flags.Key)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask the API (is it running? --api says where): %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode >= http.StatusBadRequest {
		return refused(response)
	}
	return json.NewDecoder(response.Body).Decode(into)
}

func refused(response *http.Response) error {
	var problem struct {
		Detail string
		Errors []struct{ Location, Message string }
	}
	if err := json.NewDecoder(response.Body).Decode(&problem); err != nil || problem.Detail == "" {
		return fmt.Errorf("the API answers %s", response.Status)
	}
	text := problem.Detail
	for _, e := range problem.Errors {
		text += fmt.Sprintf("; %s %s", e.Location, e.Message)
	}
	return fmt.Errorf("the API answers %s: %s", response.Status, text)
}

// act sends an operator's order and says what it did.
func (o operator) act(flags operatorFlags, path string, body any) error {
	var done struct {
		Message string
		Changed int64
	}
	if err := o.ask(flags, http.MethodPost, path, body, &done); err != nil {
		return err
	}
	_, err := fmt.Fprintf(o.out, "%s (%d changed)\n", done.Message, done.Changed)
	return err
}

// begin sends an order that is carried out in the background, and says so.
func (o operator) begin(flags operatorFlags, path string, body any) error {
	var answer struct{ Message string }
	if err := o.ask(flags, http.MethodPost, path, body, &answer); err != nil {
		return err
	}
	_, err := fmt.Fprintln(o.out, answer.Message)
	return err
}

// table prints rows under a header.
func (o operator) table(header []string, rows [][]string) error {
	w := tabwriter.NewWriter(o.out, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		if _, err := fmt.Fprintln(w, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return w.Flush()
}

// show prints an answer as it is.
func (o operator) show(flags operatorFlags, path string) error {
	var answer json.RawMessage
	if err := o.ask(flags, http.MethodGet, path, nil, &answer); err != nil {
		return err
	}
	indented, err := json.MarshalIndent(answer, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(o.out, string(indented))
	return err
}

// more tells how to get the next page.
func (o operator) more(flag, next string) error {
	if next == "" || next == "0" {
		return nil
	}
	_, err := fmt.Fprintf(o.out, "more: %s %s\n", flag, next)
	return err
}

// query encodes the parameters that are set.
func query(pairs ...string) string {
	values := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			values.Set(pairs[i], pairs[i+1])
		}
	}
	return "?" + values.Encode()
}

// clock and text show what may be missing.
func clock(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.Format(time.RFC3339)
}

func text(s *string) string {
	if s == nil {
		return "-"
	}
	return *s
}

// user is who acts unless --actor says otherwise.
func user() string {
	if name := os.Getenv("USER"); name != "" {
		return name
	}
	return "operator"
}
