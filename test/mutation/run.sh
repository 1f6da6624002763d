#!/usr/bin/env bash
# Part of make suites.
set -euo pipefail
cd "$(dirname "$0")"
exec go run .
