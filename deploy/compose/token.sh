#!/bin/sh
# Signs in at the compose stack's Keycloak with a browser (device flow with PKCE) and prints the access token:
#   token.sh CA-FILE [ISSUER]
set -eu
ca=$1
issuer=${2:-https://keycloak.localhost:9443/realms/cosmosgate}
client=cosmosgate-cli

post() { url=$1; shift; curl --silent --show-error --cacert "$ca" "$@" "$url"; }
field() { printf %s "$1" | sed -n 's/.*"'"$2"'" *: *"\([^"]*\)".*/\1/p'; }

verifier=$(openssl rand -hex 32)
challenge=$(printf %s "$verifier" | openssl dgst -sha256 -binary | openssl base64 -A | tr '+/' '-_' | tr -d '=')
discovery=$(post "$issuer/.well-known/openid-configuration" --fail)
started=$(post "$(field "$discovery" device_authorization_endpoint)" --data "client_id=$client" --data scope=openid \
  --data "code_challenge=$challenge" --data code_challenge_method=S256)
device=$(field "$started" device_code)
[ -n "$device" ] || { echo "no device code: $started" >&2; exit 1; }
echo "open $(field "$started" verification_uri_complete)" >&2

while sleep 5; do
  answer=$(post "$(field "$discovery" token_endpoint)" --data "client_id=$client" --data "device_code=$device" \
    --data "code_verifier=$verifier" --data grant_type=urn:ietf:params:oauth:grant-type:device_code)
  case $(field "$answer" error) in
    '') break ;;
    authorization_pending | slow_down) ;;
    *) echo "not signed in: $answer" >&2; exit 1 ;;
  esac
done
field "$answer" access_token
