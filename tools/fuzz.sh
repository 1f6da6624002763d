#!/usr/bin/env bash
# Runs every fuzz target of the module for a while, one after the other: fuzz.sh 5s
# A target is a function FuzzX in a _test.go file; there is no list to keep.
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:?usage: fuzz.sh DURATION}
output=$(mktemp)
trap 'rm -f "$output"' EXIT

# Before Go 1.27 the fuzzer sometimes reports the end of its own time as a failure (https://go.dev/issue/75804), and nothing else with it.
fuzz() {
  go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" "$1" 2>&1 | tee "$output" && return
  local said
  said=$(grep -A1 -e '^--- FAIL' "$output" | tail -n 1)
  [ "$said" = '    context deadline exceeded' ] && ! grep -q 'Failing input' "$output" && echo "(its time was over, nothing was found)"
}

targets=0
while IFS=: read -r file name; do
  package=./$(dirname "$file")
  echo "== $package $name"
  fuzz "$package" "$name"
  targets=$((targets + 1))
done < <(git ls-files --cached --others --exclude-standard '*_test.go' ':!test/' |
  xargs grep -HoE '^func Fuzz[A-Za-z0-9_]+' | sed 's/func //' | sort)
echo "$targets fuzz targets ran for $time each"
[ "$targets" -gt 0 ]
