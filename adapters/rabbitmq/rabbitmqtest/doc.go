// Package rabbitmqtest gives a test binary a RabbitMQ node of its own: private
// data, free ports on loopback, its own Erlang cookie and name server, gone when
// the binary ends. It does not touch, and does not need, what listens on 5672.
//
// Only tests, bench and faults may import it. It stands beside the way of a check-in, at the place
// where the relay hands events to the broker.
//
// It needs Debian's package rabbitmq-server. Where that is missing, as on a
// machine that only has Docker, RLAPP_TEST_RABBITMQ_URL names a broker to use
// instead; such a broker cannot be killed or restarted by a test.
package rabbitmqtest
