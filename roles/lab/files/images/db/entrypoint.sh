#!/bin/sh
# Create the database on an empty volume, then become the server.
set -eu

as_postgres() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }

mkdir -p "$PGDATA"
chown postgres:postgres "$PGDATA"
chmod 700 "$PGDATA"

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  # Built beside its final place and moved at the end: a start that was cut short begins anew instead of serving half a database.
  draft="$PGDATA/draft"
  rm -rf "$draft"
  as_postgres initdb --pgdata="$draft" --username=postgres --auth-local=trust --auth-host=scram-sha-256 \
    --encoding=UTF8 --locale=C.UTF-8 --no-sync >/dev/null
  echo "include '/opt/lab/postgresql.lab.conf'" >>"$draft/postgresql.conf"
  echo "host all all all scram-sha-256" >>"$draft/pg_hba.conf"
  # Nothing is worth protecting before the first start, so the rows are written without waiting for the disk.
  as_postgres pg_ctl --pgdata="$draft" --wait --log="$draft/draft.log" \
    --options="-c listen_addresses='' -c fsync=off -c wal_level=minimal -c max_wal_senders=0" start >/dev/null
  as_postgres psql --no-psqlrc --quiet --username=postgres --set=ON_ERROR_STOP=1 --file=/opt/lab/schema.sql >/dev/null
  as_postgres pg_ctl --pgdata="$draft" --wait --mode=fast stop >/dev/null
  rm "$draft/draft.log"
  mv "$draft/PG_VERSION" "$PGDATA/.PG_VERSION"
  for entry in "$draft"/*; do mv "$entry" "$PGDATA/"; done
  rmdir "$draft"
  mv "$PGDATA/.PG_VERSION" "$PGDATA/PG_VERSION"
fi

exec setpriv --reuid=postgres --regid=postgres --init-groups postgres -D "$PGDATA"
