#!/usr/bin/env bash
# Runs every fuzz target of the module for a while, one after the other: fuzz.sh 5s
# A target is a function FuzzX in a _test.go file; there is no list to keep.
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:?usage: fuzz.sh DURATION}
targets=0
while IFS=: read -r file name; do
  package=./$(dirname "$file")
  echo "== $package $name"
  go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" "$package"
  targets=$((targets + 1))
done < <(git ls-files --cached --others --exclude-standard '*_test.go' ':!test/' |
  xargs grep -HoE '^func Fuzz[A-Za-z0-9_]+' | sed 's/func //' | sort)
echo "$targets fuzz targets ran for $time each"
[ "$targets" -gt 0 ]
