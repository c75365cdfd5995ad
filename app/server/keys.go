package server

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rlapp/rlapp/adapters/postgres"
	"github.com/rlapp/rlapp/app/server/config"
)

// CreateKey makes an API key in the configured database and returns it. It returns
// postgres.ErrKeyExists where the name is taken.
func CreateKey(ctx context.Context, c config.Config, name string, roles, queues []string, who postgres.Operator) (key string, err error) {
	err = withKeys(ctx, c, func(keys *postgres.APIKeys) (err error) {
		key, err = keys.Create(ctx, name, roles, queues, who)
		return err
	})
	return key, err
}

// ListKeys returns all API keys of the configured database.
func ListKeys(ctx context.Context, c config.Config) (list []postgres.APIKey, err error) {
	err = withKeys(ctx, c, func(keys *postgres.APIKeys) (err error) {
		list, err = keys.List(ctx)
		return err
	})
	return list, err
}

// RevokeKey ends an API key. It returns postgres.ErrUnknownKey where there is none.
func RevokeKey(ctx context.Context, c config.Config, name string, who postgres.Operator) error {
	return withKeys(ctx, c, func(keys *postgres.APIKeys) error { return keys.Revoke(ctx, name, who) })
}

func withKeys(ctx context.Context, c config.Config, work func(*postgres.APIKeys) error) error {
	return withPool(ctx, c, func(pool *pgxpool.Pool) error { return work(postgres.NewAPIKeys(pool)) })
}
