package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/rlapp/rlapp/client"
)

// options are what the command line says.
type options struct {
	api, key, queue string
	patients        int
	pause           time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.api, "api", "http://127.0.0.1:5000", "base URL of the API")
	flag.StringVar(&o.key, "api-key", os.Getenv("RLAPP_API_KEY"), "API key, where the API asks for one; its roles must be reception, cashier and doctor")
	flag.StringVar(&o.queue, "queue", time.Now().Format("clinic-0102-150405"), "the queue; one that does not exist yet")
	flag.IntVar(&o.patients, "patients", 30, "how many come")
	flag.DurationVar(&o.pause, "pause", 150*time.Millisecond, "how long a step takes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "clinic:", err)
		os.Exit(1)
	}
}

// run is the whole day. It returns an error if a patient's visit does not end as it was
// meant to.
func run(ctx context.Context, o options, out io.Writer) error {
	config := client.Config{APIKey: o.key}
	api, err := client.New(o.api, config)
	if err != nil {
		return err
	}
	d := &day{api: api, options: o, patients: patientsOf(o.patients)}
	if err := d.checkIn(ctx, d.patients[0]); err != nil { // makes the queue
		return err
	}
	watching, leave := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		done <- client.Follow(watching, o.api, o.queue, config, func(b client.Board) { show(out, b) })
	}()
	err = d.work(ctx)
	leave()
	if watched := <-done; !errors.Is(watched, context.Canceled) {
		err = errors.Join(err, watched)
	}
	if err != nil {
		return err
	}
	return d.report(ctx, out)
}
