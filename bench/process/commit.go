package process

import (
	"context"
	"os/exec"
	"strings"
)

// Commit names the build that is measured or tried, with "-dirty" where the tree differs
// from it, and "unknown" outside a repository. What a run itself writes, at the given
// paths, makes no other build.
func Commit(ctx context.Context, written ...string) string {
	head, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	name := strings.TrimSpace(string(head))
	args := []string{"status", "--porcelain", "--untracked-files=no", "--", "."}
	for _, path := range written {
		args = append(args, ":(exclude)"+path)
	}
	changed, err := exec.CommandContext(ctx, "git", args...).Output()
	if err != nil || len(changed) > 0 {
		name += "-dirty"
	}
	return name
}
