#!/bin/sh
set -eu

# Only when there is none: a certificate that somebody replaced on purpose has to survive a restart.
[ -s /etc/nginx/tls/server.pem ] || sh /opt/lab/issue-certificates.sh

exec nginx -g 'daemon off;'
