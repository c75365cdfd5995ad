package httpapi

import (
	"context"
	"testing"
	"time"
)

// Commands that come one after another do not put off the look at what they change.
func TestManyCommandsDoNotPutTheLookOff(t *testing.T) {
	w := newWatch(1)
	w.versions = func(context.Context, []string) (map[string]int64, error) { return map[string]int64{"q": 2}, nil }
	w.read = func(context.Context, string) (board, error) { return board{QueueID: "q", Version: 2}, nil }
	if !w.join(board{QueueID: "q", Version: 1}) {
		t.Fatal("no place")
	}
	defer w.leave("q")
	_, changed := w.latest("q")
	commands := time.NewTicker(watchSoon / 20)
	defer commands.Stop()
	for range 1000 { // a look is due after 20
		select {
		case <-commands.C:
			w.soon()
		case <-changed:
			if b, _ := w.latest("q"); b.Version != 2 {
				t.Errorf("the board is %+v", b)
			}
			return
		}
	}
	t.Error("nobody looks")
}
