# A static binary on an empty base: no shell, no package manager, nothing to patch but the binary.
# docker build -t cosmosgate . && docker run --read-only -v …:/etc/cosmosgate:ro -v …:/var/lib/cosmosgate cosmosgate

FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download && go mod verify
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags='-s -w' -o /out/cosmosgate ./cmd/cosmosgate \
 && install -d -m 0700 /out/lib/cosmosgate

FROM scratch
# What the system trusts, for Cosmos DB and identity providers with public certificates.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# Holds the folder cosmosgate; a new volume there takes its owner and mode.
COPY --from=build --chown=65532:65532 /out/lib /var/lib
COPY --from=build /out/cosmosgate /cosmosgate
USER 65532:65532
EXPOSE 8443 8444 9090
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/cosmosgate", "healthcheck"]
ENTRYPOINT ["/cosmosgate"]
CMD ["serve", "--config", "/etc/cosmosgate/cosmosgate.yaml"]
