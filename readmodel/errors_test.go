package readmodel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rlapp/rlapp/readmodel"
)

func TestWhatTheDatabaseSaysIsTold(t *testing.T) {
	refusal := func(code string) error { return fmt.Errorf("apply 3 events: %w", &pgconn.PgError{Code: code}) }
	tests := map[string]struct {
		err                    error
		unavailable, contended bool
	}{
		"shut down":               {refusal("57P01"), true, false},
		"too many connections":    {refusal("53300"), true, false},
		"read-only":               {refusal("25006"), true, false},
		"serialization failure":   {refusal("40001"), false, true},
		"deadlock":                {refusal("40P01"), false, true},
		"lock timeout":            {refusal("55P03"), false, true},
		"cancelled statement":     {refusal("57014"), false, true},
		"unique violation":        {refusal("23505"), false, false},
		"no code":                 {refusal(""), false, false},
		"killed in the middle":    {fmt.Errorf("receive message: %w", io.ErrUnexpectedEOF), true, false},
		"connection reset":        {fmt.Errorf("write: %w", &net.OpError{Op: "write", Err: errors.New("reset")}), true, false},
		"no answer in time":       {fmt.Errorf("commit: %w", context.DeadlineExceeded), true, false},
		"a caller who left":       {context.Canceled, false, false},
		"something else entirely": {errors.New("no paper"), false, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := readmodel.Unavailable(tt.err); got != tt.unavailable {
				t.Errorf("unavailable: %v", got)
			}
			if got := readmodel.Contended(tt.err); got != tt.contended {
				t.Errorf("contended: %v", got)
			}
			if got := readmodel.Passing(tt.err); got != (tt.unavailable || tt.contended) {
				t.Errorf("passing: %v", got)
			}
		})
	}
}
