package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

const httpClients = 64

// http measures check-ins over HTTP, as fast as 64 clients get their answers, with
// relay and projections stopped; on many queues, and all on one.
func (s *suite) http(ctx context.Context, key string, queues int) error {
	return s.with(ctx, ours, func(b *bench, p pipeline) error {
		api, err := b.start(ctx, "api")
		if err != nil {
			return err
		}
		p.(*rlapp).all = api
		do, end, err := p.writer(ctx, httpClients, queues)
		if err != nil {
			return errors.Join(err, api.Stop())
		}
		warm, _, _, err := closed(ctx, httpClients, 2*queues+2000, 0, do)
		if err != nil {
			return errors.Join(err, end(), api.Stop())
		}
		events, took, latencies, err := closed(ctx, httpClients, s.size.httpLimit(queues), s.size.http, func(ctx context.Context, worker, event int) error {
			return do(ctx, worker, warm+event)
		})
		s.add(key+"-memory", ours, api.PeakMiB())
		if err = errors.Join(err, end(), api.Stop()); err != nil {
			return err
		}
		if err := b.verifyStored(ctx, acknowledged{warm + events, queues}); err != nil {
			return err
		}
		s.add(key, ours, float64(events)/took.Seconds())
		s.add(key+"-p99", ours, lag(latencies).percentile(0.99))
		return nil
	})
}

// pgbenchScripts write the rows of one check-in, with the sizes that the API's have,
// in one transaction: statement by statement, as an application would, and in a
// single statement, which is the least that PostgreSQL can be asked. Ids and versions
// rise, as ours do.
var pgbenchScripts = map[string]string{
	"pgbench": `\set q random(1, 1000)
\set n :n + 1
\set v :n * 1000 + :client_id
\set r random(1, 200000000000000)
BEGIN;
INSERT INTO waiting_room_events (aggregate_id, version, event_id, event_name, payload, metadata) VALUES (` + pgbenchEvent + `);
INSERT INTO event_processing_lag (event_id, event_name, aggregate_id, event_created_at, status) VALUES (` + pgbenchLag + `);
INSERT INTO waiting_room_outbox (event_id, aggregate_id, event_name, payload, metadata) VALUES (` + pgbenchOutbox + `);
COMMIT;
`,
	"pgbench-one-statement": `\set q random(1, 1000)
\set n :n + 1
\set v :n * 1000 + :client_id
\set r random(1, 200000000000000)
WITH e AS (INSERT INTO waiting_room_events (aggregate_id, version, event_id, event_name, payload, metadata) VALUES (` + pgbenchEvent + `)),
l AS (INSERT INTO event_processing_lag (event_id, event_name, aggregate_id, event_created_at, status) VALUES (` + pgbenchLag + `))
INSERT INTO waiting_room_outbox (event_id, aggregate_id, event_name, payload, metadata) VALUES (` + pgbenchOutbox + `);
`,
}

const (
	pgbenchID      = `(lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '70008000' || lpad(to_hex(:r::bigint), 12, '0'))::uuid`
	pgbenchPayload = `'{"queueId":"queue-123","patientId":"patient-123456","patientName":"Perpetua Testname","priority":"Low","consultationType":"X-ray","queuePosition":17,"checkInTime":"2026-11-23T09:30:03.123456789Z"}'`
	pgbenchEvent   = `'queue-' || :q, :v, ` + pgbenchID + `, 'PatientCheckedIn', ` + pgbenchPayload + `, '{"eventId":"0199ff00-aaaa-7bbb-8ccc-000000000001","aggregateId":"queue-123","version":17,"occurredAt":"2026-11-23T09:30:03.123456789Z","correlationId":"0199ff00-aaaa-7bbb-8ccc-000000000002","causationId":"0199ff00-aaaa-7bbb-8ccc-000000000003","actor":"anonymous","schemaVersion":1}'`
	pgbenchLag     = pgbenchID + `, 'PatientCheckedIn', 'queue-' || :q, clock_timestamp(), 'CREATED'`
	pgbenchOutbox  = pgbenchID + `, 'queue-' || :q, 'PatientCheckedIn', ` + pgbenchPayload + `, '{"event_name":"PatientCheckedIn","aggregate_id":"queue-123","version":"17","occurred_at":"2026-11-23T09:30:03.123456789Z","correlation_id":"0199ff00-aaaa-7bbb-8ccc-000000000002","causation_id":"0199ff00-aaaa-7bbb-8ccc-000000000003","lane":"7","schema_version":"1"}'`
)

// pgbench measures what PostgreSQL does with one transaction for each check-in, at
// the best of several numbers of clients.
func (s *suite) pgbench(ctx context.Context, name string) error {
	script := filepath.Join(s.dir, name+".sql")
	if err := os.WriteFile(script, []byte(pgbenchScripts[name]), 0o600); err != nil {
		return err
	}
	best := 0.0
	for _, clients := range s.size.pgbenchClients {
		rate, err := s.pgbenchWith(ctx, script, clients)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		best = max(best, rate)
	}
	s.add("http", name, best)
	return nil
}

func (s *suite) pgbenchWith(ctx context.Context, script string, clients int) (rate float64, err error) {
	b, err := s.fresh(ctx)
	if err != nil {
		return 0, err
	}
	defer b.close()
	out, err := exec.CommandContext(ctx, postgresProgram("pgbench"), "-n", "-M", "prepared", "-D", "n=0", "-f", script, "-c", strconv.Itoa(clients),
		"-j", "2", "-T", strconv.Itoa(int(s.size.pgbench/time.Second)), b.url).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, out)
	}
	found := regexp.MustCompile(`tps = ([\d.]+)`).FindSubmatch(out)
	if found == nil {
		return 0, fmt.Errorf("no rate in %s", out)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}
