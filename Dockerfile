# syntax=docker/dockerfile:1

# One binary, one image, one target a process:
#   docker build -t rlapp-api:latest         --target api         .
#   docker build -t rlapp-worker:latest      --target worker      .
#   docker build -t rlapp-projections:latest --target projections .
#   docker build -t rlapp-migrate:latest     --target migrate     .
# The targets share every layer; they differ in their subcommand and health check only.

ARG GO_VERSION=1.26

FROM golang:${GO_VERSION} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
# Static, since the runtime image has no libc.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /rlapp ./app

# CA certificates, time zones and a user without rights; no shell, no package manager.
FROM gcr.io/distroless/static-debian12:nonroot AS runtime
COPY --from=build /rlapp /rlapp
USER nonroot:nonroot
ENTRYPOINT ["/rlapp"]

# A container's loopback reaches nobody, so the processes listen on every address of it; what the host publishes is
# decided where the container is started.
FROM runtime AS api
ENV Api__Address=0.0.0.0:5000
EXPOSE 5000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/rlapp", "health", "http://127.0.0.1:5000/health/ready"]
CMD ["api"]

FROM runtime AS worker
ENV Worker__Address=0.0.0.0:5001
EXPOSE 5001
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/rlapp", "health", "http://127.0.0.1:5001/health/ready"]
CMD ["worker"]

FROM runtime AS projections
ENV Projections__Address=0.0.0.0:5002
EXPOSE 5002
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/rlapp", "health", "http://127.0.0.1:5002/health/ready"]
CMD ["projections"]

FROM runtime AS migrate
CMD ["migrate"]
