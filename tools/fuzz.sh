#!/usr/bin/env bash
# Runs every fuzz target for a while, as many side by side as there are processors, each with one worker: fuzz.sh 5s 30s
# The second time is for those with an oracle: what the gate sends must mean what it decided on (FuzzForwarded…, FuzzAccountDocument).
# A target is a function FuzzX in a _test.go file; there is no list to keep. Inputs worth keeping lie in testdata/fuzz beside the test: they run with
# every `go test`.
set -euo pipefail
cd "$(dirname "$0")/.."

short=${1:?usage: fuzz.sh DURATION [DURATION]}
long=${2:-$short}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# One line a target, the long ones first; one instrumented test program a package.
targets=$scratch/targets
while IFS=: read -r file name; do
  case $name in FuzzForwarded* | FuzzAccountDocument) time=$long order=0 ;; *) time=$short order=1 ;; esac
  echo "$order $(dirname "$file") $name $time"
done < <(git ls-files --cached --others --exclude-standard '*_test.go' |
  xargs grep -HoE '^func Fuzz[A-Za-z0-9_]+' | sed 's/func //') | sort >"$targets"
[ -s "$targets" ]
for package in $(cut -d' ' -f2 "$targets" | sort -u); do
  mkdir -p "$scratch/$package"
  (cd "$package" && go test -c -fuzz . -o "$scratch/$package/test" . &&
    echo "$(go env GOCACHE)/fuzz/$(go list .)" >"$scratch/$package/inputs")
done

# One target. What it says is shown when it ends, whole, so that two never mix.
# Before Go 1.27 the fuzzer sometimes reports the end of its own time as a failure (https://go.dev/issue/75804), and nothing else with it.
fuzz() {
  local package=$2 name=$3 time=$4 output status=0 said
  output=$scratch/$package/$name
  (cd "$package" && "$scratch/$package/test" -test.run '^$' -test.fuzz "^$name\$" -test.fuzztime "$time" -test.fuzzminimizetime 10x \
    -test.parallel 1 -test.timeout 10m -test.fuzzcachedir "$(cat "$scratch/$package/inputs")") >"$output" 2>&1 || status=$?
  if [ $status != 0 ]; then
    said=$(grep -A1 -e '^--- FAIL' "$output" | tail -n 1)
    if [ "$said" = '    context deadline exceeded' ] && ! grep -q 'Failing input' "$output"; then
      status=0
      echo "(its time was over, nothing was found)" >>"$output"
    fi
  fi
  if [ $status = 0 ]; then
    printf '== %s %s %s: %s\n' "$package" "$name" "$time" "$(grep -E '^fuzz: elapsed' "$output" | tail -n 1 | sed 's/^fuzz: //')"
  else
    { printf '== %s %s %s FAILED\n' "$package" "$name" "$time"; cat "$output"; }
    echo "$package $name" >>"$scratch/failed"
  fi
}
export -f fuzz
export scratch

xargs -P "$(nproc 2>/dev/null || sysctl -n hw.ncpu)" -L 1 bash -c 'fuzz "$@"' fuzz <"$targets"

if [ -s "$scratch/failed" ]; then
  echo "fuzz targets that found something:"
  cat "$scratch/failed"
  exit 1
fi
echo "$(wc -l <"$targets") fuzz targets ran for $short, or $long"
