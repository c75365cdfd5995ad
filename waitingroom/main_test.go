package waitingroom_test

import (
	"flag"
	"os"
	"testing"
)

// Random walks are cheap here, so there are thousands unless the command line says
// otherwise.
func TestMain(m *testing.M) {
	_ = flag.Set("rapid.checks", "2000")
	flag.Parse()
	os.Exit(m.Run())
}
