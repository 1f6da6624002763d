#!/usr/bin/env bash
# Runs the programs that `cosmosgate dev` prints, as it prints them, and checks what they say. The SDKs are those that the
# matrix installed. A missing toolchain is named; REQUIRE_ALL=1 makes it a failure.
set -euo pipefail
cd "$(dirname "$0")"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/cosmosgate/conformance
work=$(mktemp -d)
pid=
finish() {
  if [ -n "$pid" ]; then kill -INT "$pid" 2>/dev/null && wait "$pid" || true; fi
  rm -rf "$work"
}
trap finish EXIT

(cd ../.. && go build -o "$work/cosmosgate" ./cmd/cosmosgate)
"$work/cosmosgate" dev --port 0 --state "$work/state" --ready-file "$work/ready.json" >"$work/printed" &
pid=$!
for _ in $(seq 300); do [ -s "$work/ready.json" ] && break; sleep 0.1; done
[ -s "$work/ready.json" ] || { echo "cosmosgate dev did not become ready" >&2; exit 1; }
ca=$work/state/tls/ca.pem

ran=0
try() { # NAME WANT COMMAND...
  local name=$1 want=$2 out
  shift 2
  out=$("$@" 2>"$work/errors") || { cat "$work/errors" >&2; echo "snippet $name failed" >&2; exit 1; }
  grep -qF "$want" <<<"$out" || { echo "snippet $name printed: $out" >&2; exit 1; }
  echo "snippet $name: ok"
  ran=$((ran + 1))
}
missing() {
  echo "snippet $1: skipped, $2 is not installed"
  if [ "${REQUIRE_ALL:-}" = 1 ]; then exit 1; fi
}

try curl '"customer":"Café Kraków"' sh "$work/state/snippets/try.sh"

mkdir "$work/go"
cp "$work/state/snippets/main.go" "$work/go/"
(cd "$work/go" && go mod init try && go get github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos@v1.5.0) >"$work/errors" 2>&1 ||
  { cat "$work/errors" >&2; exit 1; }
try Go '"customer":"Café Kraków"' env SSL_CERT_FILE="$ca" go run -C "$work/go" .

if [ -d "$cache/node/node_modules" ]; then
  mkdir "$work/js"
  cp "$work/state/snippets/try.mjs" "$work/js/"
  ln -s "$cache/node/node_modules" "$work/js/node_modules"
  try JavaScript '"customer":"Café Kraków"' env NODE_EXTRA_CA_CERTS="$ca" node "$work/js/try.mjs"
else
  missing JavaScript @azure/cosmos
fi

if [ -x "$cache/python/venv/bin/python" ]; then
  try Python '"customer": "Café Kraków"' "$cache/python/venv/bin/python" "$work/state/snippets/try.py"
else
  missing Python azure-cosmos
fi
echo "$ran snippets ran as printed"
