package infrastructure_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"
)

// published are the services of the stack and the ports by which the guide reaches them on the host.
var published = map[string][]string{
	"postgres":            {"5432"},
	"rabbitmq":            {"5672", "15672"},
	"prometheus":          {"9090"},
	"alertmanager":        {"9093"},
	"grafana":             {"3000"},
	"seq":                 {"5341"},
	"pgadmin":             {"5050"},
	"waitingroom-api":     {"5000"},
	"waitingroom-worker":  nil,
	"projection-worker":   nil,
	"waitingroom-migrate": nil,
	"postgres-exporter":   nil,
	"cadvisor":            nil,
}

// loadStack loads docker-compose.yml as docker-compose does, with every profile and without any variable set.
func loadStack(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"../docker-compose.yml"}, cli.WithName("rlapp"), cli.WithProfiles([]string{"*"}))
	if err != nil {
		t.Fatal(err)
	}
	stack, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stack
}

func TestStackHasTheServicesOfTheGuide(t *testing.T) {
	want := slices.Sorted(maps.Keys(published))
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(loadStack(t).Services))); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
}

func TestPortsArePublishedOnLoopbackOnly(t *testing.T) {
	for name, service := range loadStack(t).Services {
		var got []string
		for _, port := range service.Ports {
			got = append(got, port.Published)
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is published on %q, want 127.0.0.1", name, port.Published, port.HostIP)
			}
		}
		if diff := cmp.Diff(published[name], got); diff != "" {
			t.Errorf("%s: ports (-want +got):\n%s", name, diff)
		}
		if service.NetworkMode == "host" {
			t.Errorf("%s: shares the host's network", name)
		}
	}
}

func TestEveryServiceIsCheckedAndRestarted(t *testing.T) {
	for name, service := range loadStack(t).Services {
		if name == "waitingroom-migrate" { // ends by design; others wait for it to succeed
			continue
		}
		if check := service.HealthCheck; check == nil || check.Disable || len(check.Test) < 2 {
			t.Errorf("%s: has no health check", name)
		}
		if service.Restart != types.RestartPolicyUnlessStopped {
			t.Errorf("%s: restart is %q, want unless-stopped", name, service.Restart)
		}
	}
}

func TestServicesStartAfterWhatTheyNeed(t *testing.T) {
	const healthy, done = types.ServiceConditionHealthy, types.ServiceConditionCompletedSuccessfully
	want := map[string]map[string]string{
		"waitingroom-migrate": {"postgres": healthy},
		"waitingroom-api":     {"postgres": healthy, "waitingroom-migrate": done},
		"projection-worker":   {"postgres": healthy, "waitingroom-migrate": done, "rabbitmq": healthy},
		"waitingroom-worker":  {"postgres": healthy, "waitingroom-migrate": done, "rabbitmq": healthy},
		"grafana":             {"prometheus": healthy},
		"pgadmin":             {"postgres": healthy},
		"postgres-exporter":   {"postgres": healthy},
	}
	got := map[string]map[string]string{}
	for name, service := range loadStack(t).Services {
		for needed, dependency := range service.DependsOn {
			if got[name] == nil {
				got[name] = map[string]string{}
			}
			got[name][needed] = dependency.Condition
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("depends_on (-want +got):\n%s", diff)
	}
}

func TestMountedFilesExist(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for name, service := range loadStack(t).Services {
		for _, volume := range service.Volumes {
			if volume.Type != types.VolumeTypeBind || !strings.HasPrefix(volume.Source, root) {
				continue
			}
			if _, err := os.Stat(volume.Source); err != nil {
				t.Errorf("%s: mounts what is not there: %v", name, err)
			}
			if !volume.ReadOnly {
				t.Errorf("%s: may write %s", name, volume.Source)
			}
		}
	}
}

func TestImagesArePinned(t *testing.T) {
	pinned := regexp.MustCompile(`:v?\d+\.\d+[\w.-]*$`)
	for name, service := range loadStack(t).Services {
		if service.Build == nil && !pinned.MatchString(service.Image) {
			t.Errorf("%s: image %s names no version", name, service.Image)
		}
	}
}

// TestBuildTargetsExist also holds the images to the health check and the address that compose gives their services,
// since Kubernetes and docker run read them from the image.
func TestBuildTargetsExist(t *testing.T) {
	raw, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	stages := map[string]string{}
	for _, stage := range regexp.MustCompile(`(?m)^FROM `).Split(string(raw), -1)[1:] {
		head, body, _ := strings.Cut(stage, "\n")
		if fields := strings.Fields(head); len(fields) == 3 {
			stages[fields[2]] = body
		}
	}
	for name, service := range loadStack(t).Services {
		if service.Build == nil {
			continue
		}
		stage, ok := stages[service.Build.Target]
		if !ok {
			t.Errorf("%s: the Dockerfile has no target %q", name, service.Build.Target)
			continue
		}
		if check := service.HealthCheck; !check.Disable && !strings.Contains(stage, check.Test[len(check.Test)-1]) {
			t.Errorf("%s: target %s checks another address than %v", name, service.Build.Target, check.Test)
		}
		for key, value := range service.Environment {
			if strings.HasSuffix(key, "__Address") && !strings.Contains(stage, key+"="+*value) {
				t.Errorf("%s: target %s does not set %s=%s", name, service.Build.Target, key, *value)
			}
		}
	}
}
