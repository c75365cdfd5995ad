package postgres

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// APIKey is what is known of a key, but for the key.
type APIKey struct {
	Name      string
	Roles     []string
	Queues    []string
	CreatedAt time.Time
	RevokedAt *time.Time
}

// ErrUnknownKey says that a key was never made, or was revoked.
var ErrUnknownKey = errors.New("the API key is unknown or revoked")

// ErrKeyExists says that a name is taken, perhaps by a revoked key: what it did stays
// under its name.
var ErrKeyExists = errors.New("there is a key of that name")

// keysRemembered is how long a key is believed without a look at the table: the longest
// that a revoked one still works.
const keysRemembered = 10 * time.Second

// maxKeysRemembered bounds the memory that unknown keys can take.
const maxKeysRemembered = 10_000

// APIKeys are the keys of kiosks and displays. It is safe for concurrent use.
type APIKeys struct {
	pool *pgxpool.Pool

	mu    sync.Mutex
	known map[[sha256.Size]byte]rememberedKey
}

type rememberedKey struct {
	key   APIKey
	err   error
	until time.Time
}

// NewAPIKeys returns the keys that a database knows.
func NewAPIKeys(pool *pgxpool.Pool) *APIKeys {
	return &APIKeys{pool: pool, known: map[[sha256.Size]byte]rememberedKey{}}
}

// Find returns what is known of a key. It returns ErrUnknownKey, or pgx's errors where the
// database fails.
func (k *APIKeys) Find(ctx context.Context, key string) (APIKey, error) {
	hash := sha256.Sum256([]byte(key))
	if r, ok := k.remembered(hash); ok {
		return r.key, r.err
	}
	rows, err := k.pool.Query(ctx, `SELECT name, roles, queues, created_at, revoked_at FROM api_keys WHERE hash = $1 AND revoked_at IS NULL`, hash[:])
	if err != nil {
		return APIKey{}, fmt.Errorf("look up an API key: %w", err)
	}
	found, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[APIKey])
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrUnknownKey
	} else if err != nil {
		return APIKey{}, fmt.Errorf("look up an API key: %w", err)
	}
	k.remember(hash, rememberedKey{key: found, err: err, until: time.Now().Add(keysRemembered)})
	return found, err
}

func (k *APIKeys) remembered(hash [sha256.Size]byte) (rememberedKey, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r, ok := k.known[hash]
	return r, ok && time.Now().Before(r.until)
}

func (k *APIKeys) remember(hash [sha256.Size]byte, r rememberedKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.known) >= maxKeysRemembered {
		clear(k.known)
	}
	k.known[hash] = r
}

// Operator is who makes or ends a key, and why. Both are recorded with what was done.
type Operator struct{ Actor, Reason string }

// Create makes a key and returns it; it can never be shown again. It returns ErrKeyExists.
func (k *APIKeys) Create(ctx context.Context, name string, roles, queues []string, who Operator) (key string, err error) {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails
	key = "rlapp_" + base64.RawURLEncoding.EncodeToString(secret[:])
	hash := sha256.Sum256([]byte(key))
	if queues == nil {
		queues = []string{}
	}
	_, err = k.pool.Exec(ctx, `
		WITH made AS (INSERT INTO api_keys (name, hash, roles, queues) VALUES ($1, $2, $3, $4) RETURNING name)
		INSERT INTO operator_actions (actor, action, target, reason, affected) SELECT $5, 'key.create', name, $6, 1 FROM made`,
		strings.TrimSpace(name), hash[:], roles, queues, who.Actor, who.Reason)
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == uniqueViolation {
		return "", ErrKeyExists
	}
	if err != nil {
		return "", fmt.Errorf("make an API key: %w", err)
	}
	return key, nil
}

// List returns all keys, also revoked ones, by name.
func (k *APIKeys) List(ctx context.Context) ([]APIKey, error) {
	rows, err := k.pool.Query(ctx, `SELECT name, roles, queues, created_at, revoked_at FROM api_keys ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("list the API keys: %w", err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowToStructByPos[APIKey])
	if err != nil {
		return nil, fmt.Errorf("list the API keys: %w", err)
	}
	return keys, nil
}

// Revoke ends a key within ten seconds. It returns ErrUnknownKey.
func (k *APIKeys) Revoke(ctx context.Context, name string, who Operator) error {
	tag, err := k.pool.Exec(ctx, `
		WITH ended AS (UPDATE api_keys SET revoked_at = now() WHERE name = $1 AND revoked_at IS NULL RETURNING name)
		INSERT INTO operator_actions (actor, action, target, reason, affected) SELECT $2, 'key.revoke', name, $3, 1 FROM ended`,
		name, who.Actor, who.Reason)
	if err != nil {
		return fmt.Errorf("revoke an API key: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrUnknownKey
	}
	return nil
}
