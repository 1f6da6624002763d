#!/bin/sh
# Makes certificates and secrets for docker-compose.yml, once: certificates.sh FOLDER
#
#   FOLDER/gate      ca.pem tls.crt tls.key scim-token audit-hash-key   for the gate
#   FOLDER/keycloak  tls.crt tls.key                                    for Keycloak
#   FOLDER/cosmos    tls.pfx                                            for the emulator
#   FOLDER/seed      ca.pem scim-token                                  for the one that pushes the people
#
# The authority's key is thrown away, so nobody can make further certificates; all of it is made anew 30 days before it ends.
set -eu
out=$1
days=397
renew=2592000

if [ -s "$out/seed/ca.pem" ] && openssl x509 -noout -checkend "$renew" -in "$out/gate/tls.crt" >/dev/null 2>&1; then
  echo "certificates are there"
  exit 0
fi

umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out/gate" "$out/keycloak" "$out/cosmos" "$out/seed"

# sign CSR-SUBJECT FILE EXTENSIONS CA-ARGUMENTS...: a key and a certificate with exactly these extensions
sign() {
  subject=$1 file=$2 extensions=$3
  shift 3
  printf '%s\n' "$extensions" >"$work/$file.ext"
  openssl req -new -newkey rsa:2048 -nodes -sha256 -subj "/CN=$subject" -keyout "$work/$file.key" -out "$work/$file.csr" 2>/dev/null
  openssl x509 -req -sha256 -days "$days" -in "$work/$file.csr" -extfile "$work/$file.ext" -out "$work/$file.crt" "$@" 2>/dev/null
}

# server NAME: a certificate for a service of the network, and for the same port on this machine
server() {
  sign "$1" "$1" "basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature,keyEncipherment
extendedKeyUsage=serverAuth
subjectAltName=DNS:$1,DNS:$1.localhost,DNS:localhost,IP:127.0.0.1" \
    -CA "$work/ca.crt" -CAkey "$work/ca.key" -CAcreateserial
}

sign "cosmosgate compose authority" ca "basicConstraints=critical,CA:TRUE,pathlen:0
keyUsage=critical,keyCertSign,cRLSign" -signkey "$work/ca.key"
for name in gate keycloak cosmos; do server "$name"; done

for name in gate keycloak; do
  cp "$work/$name.crt" "$out/$name/tls.crt"
  cp "$work/$name.key" "$out/$name/tls.key"
done
openssl pkcs12 -export -inkey "$work/cosmos.key" -in "$work/cosmos.crt" -certfile "$work/ca.crt" \
  -passout pass:emulator -out "$out/cosmos/tls.pfx"
openssl rand -hex 32 >"$out/gate/scim-token"
openssl rand -hex 32 >"$out/gate/audit-hash-key"
cp "$out/gate/scim-token" "$out/seed/scim-token"
cp "$work/ca.crt" "$out/gate/ca.pem"

# Each folder to its server's user. Which one the emulator runs as is not documented, so its file is open to all inside.
chmod 0644 "$out/cosmos/tls.pfx" "$out/gate/ca.pem"
chmod 0755 "$out/cosmos"
if [ "$(id -u)" = 0 ]; then
  chown -R 65532:65532 "$out/gate" "$out/seed"
  chown -R 1000:0 "$out/keycloak"
fi
cp "$work/ca.crt" "$out/seed/ca.pem" # last: it says that all of it is there
chmod 0644 "$out/seed/ca.pem"
echo "certificates made, good for $days days"
