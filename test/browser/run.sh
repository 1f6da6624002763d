#!/usr/bin/env bash
# Signs in with a real browser. Chromium comes from the machine, or from Debian's packages where CI or REQUIRE_ALL=1 needs it and
# this is root's machine; elsewhere its absence is named and nothing is run.
set -euo pipefail
cd "$(dirname "$0")"

find_browser() { command -v chromium || command -v chromium-browser || command -v google-chrome || true; }

browser=$(find_browser)
if [ -z "$browser" ] && { [ "${CI:-}" = true ] || [ "${REQUIRE_ALL:-}" = 1 ]; } && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium >/dev/null
  browser=$(find_browser)
fi
if [ -z "$browser" ]; then
  echo "browser: skipped, chromium is not installed"
  [ "${REQUIRE_ALL:-}" != 1 ]
  exit
fi
CHROMIUM=$browser go test -count=1 "$@" ./...
