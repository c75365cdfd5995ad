package server_test

import (
	"errors"
	"io"
	"log/slog"
	"testing"

	"github.com/rlapp/rlapp/app/server"
	"github.com/rlapp/rlapp/app/server/config"
)

// An API that others reach starts only if it asks them who they are, or was told not to.
func TestAnOpenAPIRefusesToStart(t *testing.T) {
	for name, tt := range map[string]struct {
		environ []string
		refused bool
	}{
		"every network":   {[]string{"Api__Address=0.0.0.0:0"}, true},
		"without a host":  {[]string{"Api__Address=:0"}, true},
		"a name":          {[]string{"Api__Address=clinic.example:0"}, true},
		"IPv6":            {[]string{"Api__Address=[::]:0"}, true},
		"told to":         {[]string{"Api__Address=0.0.0.0:0", "Api__Insecure=true"}, false},
		"with keys":       {[]string{"Api__Address=0.0.0.0:0", "Auth__ApiKeys=true"}, false},
		"with an issuer":  {[]string{"Api__Address=0.0.0.0:0", "Auth__Issuer=http://127.0.0.1:1", "Auth__Audience=a"}, false},
		"loopback":        {[]string{"Api__Address=127.0.0.1:0"}, false},
		"loopback's name": {[]string{"Api__Address=localhost:0"}, false},
		"IPv6's loopback": {[]string{"Api__Address=[::1]:0"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			// There is no database: who gets so far was not refused.
			c, err := config.Load(append(tt.environ, "EventStore__ConnectionString=Host=127.0.0.1;Port=1;Database=none;Username=nobody;Timeout=1"), "")
			if err != nil {
				t.Fatal(err)
			}
			err = server.New(server.RoleAPI, c, slog.New(slog.DiscardHandler), io.Discard).Run(t.Context())
			var insecure *server.InsecureError
			if err == nil || errors.As(err, &insecure) != tt.refused {
				t.Errorf("refused: %t, want %t: %v", !tt.refused, tt.refused, err)
			}
		})
	}
}
