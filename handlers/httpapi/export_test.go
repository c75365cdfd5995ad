package httpapi

// Allowed is the table of roles.
func Allowed() map[string][]Role { return allowed }
