# shellcheck shell=sh
# drill NAMES FROM UNTIL CHAIN: serve another certificate. CHAIN is own (the lab's authority), middle (an intermediate authority that is not served)
# or stranger (an authority that nobody knows).
set -eu
[ ! -e server.pem.drill ] || exit 0

when() { date -u -d "$1" +%Y%m%d%H%M%SZ; }
# A key and a self-signed authority of that name.
authority() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.pem" -days 30 -subj "/O=Incident lab/CN=$2" 2>/dev/null; }

sed "s/^subjectAltName = .*/subjectAltName = $1/" server.ext >drill.ext
issuer=ca
case $4 in
  middle)
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout drill-ca.key -out drill-ca.csr -subj "/O=Incident lab/CN=Issuing CA" 2>/dev/null
    printf 'basicConstraints = critical,CA:TRUE\nkeyUsage = critical,keyCertSign\n' >drill-ca.ext
    openssl x509 -req -in drill-ca.csr -CA ca.pem -CAkey ca.key -days 30 -extfile drill-ca.ext -out drill-ca.pem 2>/dev/null
    issuer=drill-ca ;;
  stranger)
    authority drill-ca "Somebody else"
    issuer=drill-ca ;;
esac
openssl req -new -key server.key -out drill.csr -subj "/O=Incident lab/CN=localhost"
openssl x509 -req -in drill.csr -CA "$issuer.pem" -CAkey "$issuer.key" -extfile drill.ext \
  -not_before "$(when "$2")" -not_after "$(when "$3")" -out server.pem.new 2>/dev/null
cp -p server.pem server.pem.drill
cat server.pem.new >server.pem
rm -f drill.ext drill.csr server.pem.new drill-ca.*
nginx -s reload
echo replaced
