#!/usr/bin/env bash
# Runs the public SCIM test suites against the server on loopback, and compares
# PATCH and filters with other people's implementations. Python's and Node's
# programs are installed into a temporary folder, or into SCIM_TOOLS; a missing
# toolchain is reported as skipped. SCIM_SUITES names the folder of Microsoft's
# collections.
set -euo pipefail
cd "$(dirname "$0")"
tools=${SCIM_TOOLS:-$(mktemp -d)}

if command -v python3 >/dev/null && [ ! -x "$tools/python/bin/scim2" ]; then
  python3 -m venv "$tools/python" && "$tools/python/bin/pip" install -q scim2-cli==0.6.0 scim-sanity==0.7.4
fi
if command -v npm >/dev/null && [ ! -d "$tools/node_modules/scimmy" ]; then
  npm install --silent --no-fund --no-audit --prefix "$tools" \
    newman@6.2.2 scim-patch@0.8.3 scim2-parse-filter@0.2.10 scimmy@1.3.5
fi
export NODE_PATH="$tools/node_modules"
PATH="$tools/python/bin:$tools/node_modules/.bin:$PATH" go test -count=1 -v ./...
