// Command faults tries to break the promises of docs/reliability.md: it runs a whole
// RLAPP, the API, the outbox worker and the projection worker, over its own PostgreSQL
// and RabbitMQ, lets clients take patients through their visits, and meanwhile kills,
// cuts off, fills up or misleads one part. Then it counts what was lost, invented, done
// twice, done in the wrong order, left lying, or answered wrongly, and looks for evidence
// that the fault struck.
//
//	go tool -modfile=tools/go.mod task faults                # every fault, three short rounds
//	go tool -modfile=tools/go.mod task faults -- --long      # 30 full rounds of each; --resume --rounds 5 adds some
//	go tool -modfile=tools/go.mod task faults -- --only kill-api-before-commit
//
// Nobody imports it.
package main
