#!/usr/bin/env bash
# Runs every fuzz target for a while, one after the other: fuzz.sh 5s 30s
# The second time is for those with an oracle: what the gate sends must mean what it decided on (FuzzForwarded…, FuzzAccountDocument).
# A target is a function FuzzX in a _test.go file; there is no list to keep. Inputs worth keeping lie in testdata/fuzz beside the test: they run with
# every `go test`.
set -euo pipefail
cd "$(dirname "$0")/.."

short=${1:?usage: fuzz.sh DURATION [DURATION]}
long=${2:-$short}
output=$(mktemp)
trap 'rm -f "$output"' EXIT

# Before Go 1.27 the fuzzer sometimes reports the end of its own time as a failure (https://go.dev/issue/75804), and nothing else with it.
fuzz() {
  (cd "$1" && go test -run '^$' -fuzz "^$2\$" -fuzztime "$3" -fuzzminimizetime 10x .) 2>&1 | tee "$output" && return
  local said
  said=$(grep -A1 -e '^--- FAIL' "$output" | tail -n 1)
  [ "$said" = '    context deadline exceeded' ] && ! grep -q 'Failing input' "$output" && echo "(its time was over, nothing was found)"
}

targets=0
while IFS=: read -r file name; do
  time=$short
  case $name in FuzzForwarded* | FuzzAccountDocument) time=$long ;; esac
  echo "== $(dirname "$file") $name $time"
  fuzz "$(dirname "$file")" "$name" "$time"
  targets=$((targets + 1))
done < <(git ls-files --cached --others --exclude-standard '*_test.go' |
  xargs grep -HoE '^func Fuzz[A-Za-z0-9_]+' | sed 's/func //' | sort)
echo "$targets fuzz targets ran for $short, or $long"
[ "$targets" -gt 0 ]
