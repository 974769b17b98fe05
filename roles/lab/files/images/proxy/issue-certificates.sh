#!/bin/sh
# Create the lab's certificate authority and a server certificate for 90 days in /etc/nginx/tls.
set -eu
umask 077

mkdir -p /etc/nginx/tls
cd /etc/nginx/tls

ec_key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"

# shellcheck disable=SC2086 # a list of options on purpose
openssl req -x509 $ec_key -keyout ca.key -out ca.pem -days 3650 -subj "/O=Incident lab/CN=Incident lab CA" \
  -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" 2>/dev/null

cat >server.ext <<EXT
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, DNS:app-proxy, IP:127.0.0.1
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
EXT

# shellcheck disable=SC2086
openssl req -new $ec_key -keyout server.key -out server.csr -subj "/O=Incident lab/CN=localhost" 2>/dev/null
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -out server.new -days 90 -extfile server.ext 2>/dev/null
rm server.csr

chmod 644 ca.pem
# Last, because its presence is what says that everything was issued.
mv server.new server.pem
chmod 644 server.pem
