package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/rlapp/rlapp/adapters/postgres"
)

func TestAPIKeys(t *testing.T) {
	pool := newPool(t)
	keys := postgres.NewAPIKeys(pool)
	key, err := keys.Create(t.Context(), "kiosk", []string{"reception"}, []string{"queue-1"}, postgres.Operator{Actor: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	found, err := keys.Find(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	want := postgres.APIKey{Name: "kiosk", Roles: []string{"reception"}, Queues: []string{"queue-1"}}
	if diff := cmp.Diff(want, found, cmpopts.IgnoreFields(postgres.APIKey{}, "CreatedAt")); diff != "" {
		t.Errorf("the key differs (-want +got):\n%s", diff)
	}
	for _, wrong := range []string{"", "rlapp_guess", key + "x", strings.ToUpper(key)} {
		if _, err := keys.Find(t.Context(), wrong); !errors.Is(err, postgres.ErrUnknownKey) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if _, err := keys.Create(t.Context(), "kiosk", []string{"admin"}, nil, postgres.Operator{Actor: "ada"}); !errors.Is(err, postgres.ErrKeyExists) {
		t.Errorf("a second key of the name: %v", err)
	}
	var rows string
	if err := pool.QueryRow(t.Context(), "SELECT string_agg(k::text, '') FROM api_keys k").Scan(&rows); err != nil || strings.Contains(rows, key) {
		t.Errorf("the table has the key itself: %v", err)
	}
	if err := keys.Revoke(t.Context(), "kiosk", postgres.Operator{Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	if err := keys.Revoke(t.Context(), "kiosk", postgres.Operator{Actor: "ada"}); !errors.Is(err, postgres.ErrUnknownKey) {
		t.Errorf("revoked twice: %v", err)
	}
	// Another process, which has not seen the key before, refuses it at once.
	if _, err := postgres.NewAPIKeys(pool).Find(t.Context(), key); !errors.Is(err, postgres.ErrUnknownKey) {
		t.Errorf("a revoked key: %v", err)
	}
	list, err := keys.List(t.Context())
	if err != nil || len(list) != 1 || list[0].RevokedAt == nil {
		t.Errorf("the list is %v, error %v", list, err)
	}
}
