// Package deploy reads the files that the product is deployed with and says what is wrong with them: the image, the compose
// stack, the Keycloak realm, the Prometheus rules and the Grafana dashboard, each held against the gate's own configuration and
// metrics. It starts no container.
package deploy
