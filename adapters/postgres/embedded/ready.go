package embedded

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgerrcode"
)

// ready returns once the database can be used. It creates the database when it is
// missing.
func (s *Server) ready(ctx context.Context, p *process) error {
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		err := s.connect(ctx)
		if err == nil {
			return nil
		}
		if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) && refused.Code != cannotConnectNow {
			return fmt.Errorf("the server refuses us: %w", err)
		}
		select {
		case <-again.C:
		case <-p.done:
			return p.death()
		case <-ctx.Done():
			return fmt.Errorf("the server is not ready (%w); it last said:\n%s", ctx.Err(), p.log)
		}
	}
}
