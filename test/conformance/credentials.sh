#!/usr/bin/env bash
# Runs the programs of docs/sdk.md as they stand there, as an engineer who signed in with cosmosgate login, and @azure/cosmos with
# nothing but the connection string of cosmosgate connect. Only the endpoint is replaced. The SDKs are those that the matrix
# installed. A missing toolchain is named; REQUIRE_ALL=1 makes it a failure.
set -euo pipefail
cd "$(dirname "$0")"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/cosmosgate/conformance
work=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do kill -INT "$pid" 2>/dev/null && wait "$pid" || true; done
  rm -rf "$work"
}
trap finish EXIT

(cd ../.. && go build -o "$work/bin/cosmosgate" ./cmd/cosmosgate)
export PATH="$work/bin:$PATH"
cosmosgate dev --port 0 --state "$work/state" --ready-file "$work/ready.json" >"$work/printed" &
pids+=($!)
for _ in $(seq 300); do [ -s "$work/ready.json" ] && break; sleep 0.1; done
[ -s "$work/ready.json" ] || { echo "cosmosgate dev did not become ready" >&2; exit 1; }
ca=$work/state/tls/ca.pem
gate=$(sed -n 's/^ *"endpoint": "\(https:[^"]*\)".*/\1/p' "$work/ready.json" | head -n 1)

# An engineer of this run only: neither the caller's profile nor their keyring is touched.
export COSMOSGATE_PROFILE="$work/profile.yaml" COSMOSGATE_KEYRING=off XDG_CONFIG_HOME="$work/config" BROWSER="$work/browser"
printf '#!/bin/sh\nexec curl --silent --show-error --location --cacert "%s" --output /dev/null "$1"\n' "$ca" >"$BROWSER"
chmod 755 "$BROWSER"
cosmosgate login --gate "$gate" --ca "$ca" --login-hint ann 2>"$work/errors" || { cat "$work/errors" >&2; exit 1; }

program() { # LANGUAGE FILE: the first block of the language, for the gate of this run
  awk -v open="\`\`\`$1" '$0 == open {on = 1; next} /^```$/ {if (on) exit} on' ../../docs/sdk.md |
    sed "s|https://cosmos.corp.example/|$gate|" >"$2"
  [ -s "$2" ] || { echo "docs/sdk.md has no $1 program" >&2; exit 1; }
}
ran=0
try() { # NAME WANT COMMAND...
  local name=$1 want=$2 out
  shift 2
  out=$("$@" 2>"$work/errors") || { cat "$work/errors" >&2; echo "$name failed" >&2; exit 1; }
  grep -qF "$want" <<<"$out" || { echo "$name printed: $out" >&2; cat "$work/errors" >&2; exit 1; }
  echo "$name: ok"
  ran=$((ran + 1))
}
missing() {
  echo "$1: skipped, $2 is not installed"
  if [ "${REQUIRE_ALL:-}" = 1 ]; then exit 1; fi
}

mkdir "$work/go"
program go "$work/go/main.go"
(cd "$work/go" && go mod init orders && go mod edit -require=github.com/cosmosgate/cosmosgate@v0.0.0 -replace="github.com/cosmosgate/cosmosgate=$OLDPWD/../.." &&
  go mod tidy) >"$work/errors" 2>&1 || { cat "$work/errors" >&2; exit 1; }
try "docs/sdk.md Go" '"customer":"Café Kraków"' env SSL_CERT_FILE="$ca" go run -C "$work/go" .

if [ -x "$cache/python/venv/bin/python" ]; then
  program python "$work/orders.py"
  try "docs/sdk.md Python" '"customer": "Café Kraków"' env PYTHONWARNINGS=ignore "$cache/python/venv/bin/python" "$work/orders.py"
else
  missing Python azure-cosmos
fi

if [ -d "$cache/node/node_modules" ]; then
  mkdir "$work/js"
  ln -s "$cache/node/node_modules" "$work/js/node_modules"
  program javascript "$work/js/orders.mjs"
  try "docs/sdk.md JavaScript" '"customer":"Café Kraków"' env NODE_NO_WARNINGS=1 NODE_EXTRA_CA_CERTS="$ca" node "$work/js/orders.mjs"

  cosmosgate connect -o json >"$work/connection.json" 2>"$work/connect.err" &
  pids+=($!)
  for _ in $(seq 100); do grep -q connection_string "$work/connection.json" && break; sleep 0.1; done
  cat >"$work/js/connect.mjs" <<'JS'
import { readFileSync } from "node:fs";
import { CosmosClient } from "@azure/cosmos";
const { connection_string } = JSON.parse(readFileSync(process.argv[2]));
const orders = new CosmosClient(connection_string).database("shop").container("orders");
const { resource } = await orders.item("1001", "emea").read();
const { resources } = await orders.items.query("SELECT VALUE c.id FROM c", { partitionKey: "emea" }).fetchAll();
console.log(JSON.stringify({ customer: resource.customer, ids: resources }));
JS
  try "@azure/cosmos through connect" '{"customer":"Café Kraków","ids":["1001","1002","1003"]}' \
    env NODE_NO_WARNINGS=1 node "$work/js/connect.mjs" "$work/connection.json"
else
  missing JavaScript @azure/cosmos
fi

if [ -d "$cache/java/target/dependency" ] && command -v javac >/dev/null; then
  mkdir "$work/java"
  program java "$work/java/Orders.java"
  keytool -importcert -noprompt -alias gate -file "$ca" -keystore "$work/trust.p12" -storetype PKCS12 -storepass changeit >"$work/errors" 2>&1
  javac -d "$work/java" -cp "$cache/java/target/dependency/*" "$work/java/Orders.java"
  try "docs/sdk.md Java" '"customer":"Café Kraków"' java -Djavax.net.ssl.trustStore="$work/trust.p12" -Djavax.net.ssl.trustStorePassword=changeit \
    -Dfile.encoding=UTF-8 -Dstdout.encoding=UTF-8 -Dorg.slf4j.simpleLogger.defaultLogLevel=off -cp "$work/java:$cache/java/target/dependency/*" Orders
else
  missing Java azure-cosmos
fi

if [ -d "$cache/rust/target" ] && command -v cargo >/dev/null; then
  mkdir -p "$work/rust/src"
  program rust "$work/rust/src/main.rs"
  for file in Cargo.toml Cargo.lock; do sed 's/^name = "conformance"/name = "orders"/' "sdk/rust/$file" >"$work/rust/$file"; done
  env CARGO_HOME="$cache/rust/cargo" CARGO_TARGET_DIR="$cache/rust/target" \
    cargo build --quiet --manifest-path "$work/rust/Cargo.toml" 2>"$work/errors" || { cat "$work/errors" >&2; exit 1; }
  try "docs/sdk.md Rust" '"customer":"Café Kraków"' env SSL_CERT_FILE="$ca" AZURE_COSMOS_BINARY_ENCODING_ENABLED=false "$cache/rust/target/debug/orders"
else
  missing Rust azure_data_cosmos
fi
echo "$ran programs ran as they stand in docs/sdk.md"
