// Package postgrestest gives each test an empty PostgreSQL database, on a private
// server that the test binary starts for itself and ends with: durable as in
// production, on a free port of loopback. It does not touch, and does not need,
// what listens on 5432.
//
// Only tests may import it. It stands beside the way of a check-in, below
// adapters/postgres, readmodel and adapters/outbox.
//
// A package takes part by its TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }
//
// and with a search for leaked goroutines, after the server's own ended:
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Wrap(m)) }
//
// Where PostgreSQL is not installed, as on a machine that only has Docker,
// RLAPP_TEST_POSTGRES_URL names a server to use instead, as a superuser; such a
// server cannot be killed or restarted by a test.
package postgrestest
