#!/bin/sh
# Fills the compose stack, and may run again: a database in the emulator, with its account key, and people in the gate's
# directory over SCIM. Ids of people and groups are those of realm.json, because the gate links people by the claim sub.
#
#   COSMOS_URL COSMOS_EMULATOR_KEY   the emulator
#   SCIM_URL                         the gate's SCIM connection
#   SEED_FOLDER                      ca.pem and scim-token
set -eu
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT
ca=$SEED_FOLDER/ca.pem
key=$(printf %s "$COSMOS_EMULATOR_KEY" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \n')

lower() { printf %s "$1" | tr '[:upper:]' '[:lower:]'; }

# cosmos TYPE LINK BODY HEADER...: creates something below LINK; what is there already stays
cosmos() {
  type=$1 link=$2 body=$3
  shift 3
  now=$(LC_ALL=C date -u '+%a, %d %b %Y %H:%M:%S GMT')
  signature=$(printf 'post\n%s\n%s\n%s\n\n' "$type" "$link" "$(lower "$now")" |
    openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | openssl base64 -A |
    sed -e 's/+/%2b/g' -e 's:/:%2f:g' -e 's/=/%3d/g')
  status=$(curl --silent --show-error --cacert "$ca" --output "$answer" --write-out '%{http_code}' \
    --header "authorization: type%3dmaster%26ver%3d1.0%26sig%3d$signature" --header "x-ms-date: $now" \
    --header 'x-ms-version: 2018-12-31' --header 'content-type: application/json' "$@" \
    --data "$body" "$COSMOS_URL/${link:+$link/}$type")
  case $status in
    200 | 201 | 409) ;;
    *) echo "creating $type in ${link:-the account}: $status" >&2; cat "$answer" >&2; exit 1 ;;
  esac
}

# scim METHOD PATH [BODY]: prints the answer
scim() {
  method=$1 path=$2 body=${3-}
  curl --silent --show-error --fail-with-body --cacert "$ca" --request "$method" \
    --header "authorization: Bearer $(cat "$SEED_FOLDER/scim-token")" --header 'content-type: application/scim+json' \
    ${body:+--data "$body"} "$SCIM_URL/$path"
}

# put KIND EXTERNAL-ID BODY: makes the record unless it is there; prints the directory's id of it
put() {
  found=$(scim GET "$1?filter=externalId%20eq%20%22$2%22" | sed -n 's/.*"id":"\([^"]*\)".*/\1/p')
  if [ -z "$found" ]; then
    found=$(scim POST "$1" "$3" | sed -n 's/.*"id":"\([^"]*\)".*/\1/p')
  fi
  [ -n "$found" ] || { echo "no id for $1 $2" >&2; exit 1; }
  echo "$found"
}

person() { # NAME EXTERNAL-ID DEPARTMENT ACTIVE
  enterprise=urn:ietf:params:scim:schemas:extension:enterprise:2.0:User
  put Users "$2" "{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:User\",\"$enterprise\"],\"userName\":\"$1@corp.example\",\"externalId\":\"$2\",\"active\":$4,\"$enterprise\":{\"department\":\"$3\"}}"
}

group() { # NAME EXTERNAL-ID MEMBER
  put Groups "$2" "{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:Group\"],\"displayName\":\"$1\",\"externalId\":\"$2\",\"members\":[{\"value\":\"$3\"}]}"
}

container() { # NAME PATH
  cosmos colls dbs/shop "{\"id\":\"$1\",\"partitionKey\":{\"paths\":[\"$2\"],\"kind\":\"Hash\",\"version\":2}}"
}

document() { # CONTAINER PARTITION BODY
  cosmos docs "dbs/shop/colls/$1" "$3" --header "x-ms-documentdb-partitionkey: [\"$2\"]" --header 'x-ms-documentdb-is-upsert: true'
}

cosmos dbs '' '{"id":"shop"}'
container orders /department
container products /category
document orders emea '{"id":"1001","department":"emea","customer":"Ada","total":120}'
document orders amer '{"id":"2001","department":"amer","customer":"Grace","total":75}'
document products shoes '{"id":"1","category":"shoes","name":"Trail runner"}'

ann=$(person ann 7c9e6679-7425-40de-944b-e07fc1f90001 emea true)
bob=$(person bob 7c9e6679-7425-40de-944b-e07fc1f90002 amer true)
dan=$(person dan 7c9e6679-7425-40de-944b-e07fc1f90003 emea false)
group orders-readers 2f6e1c5a-7b0d-4c39-9f8e-1d2c3b4a5001 "$ann" >/dev/null
group shop-writers 2f6e1c5a-7b0d-4c39-9f8e-1d2c3b4a5002 "$bob" >/dev/null
echo "database shop; people ann ($ann), bob ($bob), dan ($dan, has left)"
