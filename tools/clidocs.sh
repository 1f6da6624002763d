#!/usr/bin/env bash
# Writes one page per command from what the command says about itself: clidocs.sh BINARY FOLDER
set -euo pipefail

binary=${1:?usage: clidocs.sh BINARY FOLDER}
folder=${2:?usage: clidocs.sh BINARY FOLDER}
mkdir -p "$folder"
rm -f "$folder"/*.md

page() { # page COMMAND...: writes its page, then those of its subcommands
  local name="cosmosgate${*:+ $*}" text
  text=$("$binary" "$@" --help)
  {
    printf '# %s\n\n```text\n%s\n```\n' "$name" "$text"
  } >"$folder/${name// /_}.md"
  local sub
  for sub in $(sed -n '/^Available Commands:/,/^$/p' <<<"$text" | awk 'NR > 1 && NF {print $1}'); do
    case $sub in
    help | completion) ;;
    *) page "$@" "$sub" ;;
    esac
  done
}

page
