package server

// Role says which parts of RLAPP a process runs.
type Role string

// The roles: everything in one process, or one of the guide's three services.
const (
	RoleAll         Role = "all"
	RoleAPI         Role = "api"
	RoleWorker      Role = "worker"
	RoleProjections Role = "projections"
)

func (r Role) servesAPI() bool   { return r == RoleAll || r == RoleAPI }
func (r Role) relays() bool      { return r == RoleAll || r == RoleWorker }
func (r Role) projects() bool    { return r == RoleAll || r == RoleProjections }
func (r Role) needsBroker() bool { return r.relays() || r.projects() }
func (r Role) component() string {
	switch r {
	case RoleWorker:
		return "OutboxWorker"
	case RoleProjections:
		return "ProjectionWorker"
	default:
		return "API"
	}
}
