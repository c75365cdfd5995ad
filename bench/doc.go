// Command bench measures RLAPP beside its peers on one machine, in one run, and
// refuses to flatter anyone:
//
//	go tool -modfile=tools/go.mod task bench             # everything, three rounds
//	go tool -modfile=tools/go.mod task bench -- --quick  # every row, small, under three minutes
//
// It starts a PostgreSQL and a RabbitMQ of its own, runs each contender as a
// process of its own, takes the contenders in turns within each round, checks after
// every measurement that what was acknowledged is there once and in order, prints a
// table with medians and spread, and writes JSON and a plot to bench/results.
//
// Lag is measured without the contenders' help: PostgreSQL keeps the moment of every
// commit (track_commit_timestamp), and one query takes the difference between the
// commit of an event and that of its row in the read model, the same for all.
//
// The peers are the pipeline that Watermill's documentation shows, with its default
// settings (stock) and with settings for throughput (stock-tuned); see package stock.
//
// It may import everything, as a main of its own; nobody imports it.
package main
