package httpapi

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
)

// Whom routes are for.
var (
	staff     = []Role{Reception, Cashier, Doctor, Operator}
	anyone    = append([]Role{Display}, staff...)
	operators = []Role{Operator}
)

// allowed says which roles may call which operation; Admin may call all of them. New
// refuses an operation that is not here.
var allowed = map[string][]Role{
	"check-in": {Reception}, "register": {Reception},

	"cashier-call-next": {Cashier}, "validate-payment": {Cashier}, "mark-payment-pending": {Cashier}, "cancel-payment": {Cashier},
	"cashier-mark-absent": {Cashier},

	"activate-consulting-room": {Doctor}, "deactivate-consulting-room": {Doctor},
	"medical-call-next": {Doctor}, "claim-next": {Doctor}, "start-consultation": {Doctor}, "call-patient": {Doctor},
	"finish-consultation": {Doctor}, "complete-attention": {Doctor}, "medical-mark-absent": {Doctor},

	// What names patients is for the staff; what does not is for displays, too.
	"queue-state": staff, "next-turn": staff, "recent-history": staff, "journey": staff, "explain": staff,
	"board": anyone, "stream": anyone,
	"monitor": anyone, "monitor-all": anyone,

	// What keeps the system running.
	"events": operators, "lag": operators, "operator-actions": operators,
	"outbox-pending": operators, "outbox": operators, "outbox-event": operators, "outbox-retry": operators,
	"outbox-retry-event": operators, "outbox-discard-event": operators,
	"poison-groups": operators, "poison": operators, "poison-message": operators, "poison-replay": operators, "poison-discard": operators,
	"poison-rehearse": operators, "poison-replay-message": operators, "poison-discard-message": operators,
	"projections-health": operators, "projection-checkpoint": operators, "projections-rebuild": operators,
	"projection-rebuild-state": operators, "projection-rebuild-rollback": operators, "queue-rebuild": operators,
	"retention-runs": operators, "retention-start": operators,
}

// checkRoles returns an error for every operation whose callers nobody has thought about.
func checkRoles(document *huma.OpenAPI) error {
	var errs []error
	for path, item := range document.Paths {
		for _, o := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if o != nil && len(allowed[o.OperationID]) == 0 {
				errs = append(errs, fmt.Errorf("the operation %s of %s is not in the table of roles", o.OperationID, path))
			}
		}
	}
	return errors.Join(errs...)
}

// scopeOf is the queue that a request is about: "" for all of them. That of a command is
// in its body, and carryOut looks there.
func scopeOf(ctx huma.Context) (queueID string, known bool) {
	if tag := ctx.Operation().Tags[0]; tag == "Reception" || tag == "Cashier" || tag == "Medical" {
		return "", false
	}
	if id := ctx.Param("queueId"); id != "" {
		return id, true
	}
	return ctx.Param("aggregateId"), true
}

// authorize refuses callers who are not known, or may not do what they ask for.
func (a *api) authorize(ctx huma.Context, next func(huma.Context)) {
	if !a.config.Authentication.asked() {
		next(ctx)
		return
	}
	identity, known := identityOf(ctx.Context())
	queueID, scoped := scopeOf(ctx)
	var p *Problem
	switch {
	case !known:
		p = newProblem(ctx.Context(), http.StatusUnauthorized, codeUnauthenticated, "show who you are with a bearer token or an API key")
	case !identity.may(allowed[ctx.Operation().OperationID]):
		p = newProblem(ctx.Context(), http.StatusForbidden, codeForbidden, "none of your roles allows this")
	case scoped && !identity.reaches(queueID):
		p = newProblem(ctx.Context(), http.StatusForbidden, codeForbidden, detailOutside)
	}
	if p != nil {
		writeTo(ctx, p)
		return
	}
	next(ctx)
}

// writeTo answers from huma's middleware.
func writeTo(ctx huma.Context, p *Problem) {
	_, w := humachi.Unwrap(ctx)
	writeProblem(w, p)
}

const detailOutside = "this is outside of the queues that you may see and change"
