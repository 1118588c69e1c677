#!/usr/bin/env bash
# Real PostgreSQL, Redis and NATS for the tests, and moto, which plays S3: on free ports of their own, on 127.0.0.1 only, with their
# data in a temporary folder.
#
#   eval "$(.ci/servers.sh start)"    exports TIDEWHEEL_TEST_POSTGRES, _REDIS, _NATS, _S3 and _SERVERS
#   .ci/servers.sh stop               stops the servers under TIDEWHEEL_TEST_SERVERS and removes the folder
set -euo pipefail

say() { echo "servers: $*" >&2; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

# PostgreSQL refuses to run as root; then it runs as Debian's user postgres.
as_postgres() { if [ "$(id -u)" = 0 ]; then (cd / && su postgres -s /bin/bash -c "$1"); else bash -c "$1"; fi; }

find_postgres() { ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1; }

install_absent() {
  local absent=()
  [ -n "$(find_postgres)" ] || absent+=(postgresql)
  command -v redis-server >/dev/null || absent+=(redis-server)
  command -v java >/dev/null || absent+=(openjdk-17-jre-headless)  # for Spark, which runs inside the tests
  command -v nats-server >/dev/null || absent+=(nats-server)
  [ ${#absent[@]} = 0 ] && return
  say "installing ${absent[*]}"
  # No cluster and no daemon of Debian's own: ours are private.
  as_root mkdir -p /etc/postgresql-common/createcluster.d
  echo "create_main_cluster = false" | as_root tee /etc/postgresql-common/createcluster.d/tidewheel.conf >/dev/null
  { as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${absent[@]}"; } >&2
}

# An environment of its own, kept between runs: moto brings packages that nothing else here needs.
install_moto() {
  moto_home=${XDG_CACHE_HOME:-$HOME/.cache}/tidewheel-test-servers/moto-5.2.5
  [ ! -f "$moto_home/ready" ] || return 0
  say "installing moto"
  { rm -rf "$moto_home" && python3 -m venv "$moto_home" && "$moto_home/bin/pip" install --quiet --disable-pip-version-check \
    "moto[s3]==5.2.5" "flask>=3.1,<4" "flask-cors>=6,<7" && touch "$moto_home/ready"; } >&2
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# Wait until somebody listens on port $1, for $2 seconds at most.
await_port() {
  for _ in $(seq "$2"0); do
    (echo >"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
    sleep 0.1
  done
  say "nobody listens on port $1"
  return 1
}

clean_up() {
  cat "$folder"/redis.log "$folder"/nats.log "$folder"/moto.log "$folder"/postgres/log >&2 2>/dev/null || true
  TIDEWHEEL_TEST_SERVERS=$folder stop
}

start() {
  install_absent
  local bin port moto_home=
  install_moto || say "moto cannot be installed: what needs S3 is skipped"
  folder=$(mktemp -d "${TMPDIR:-/tmp}/tidewheel-servers.XXXXXX")
  trap clean_up EXIT
  chmod 755 "$folder"
  bin=$(find_postgres)

  mkdir "$folder/postgres"
  [ "$(id -u)" != 0 ] || chown postgres "$folder/postgres"
  as_postgres "$bin/initdb -D '$folder/postgres/data' -U tidewheel -A trust -E UTF8 --locale=C.UTF-8 --no-sync" \
    >"$folder/initdb.log" 2>&1 || { cat "$folder/initdb.log" >&2; exit 1; }
  port=$(free_port)
  as_postgres "$bin/pg_ctl -D '$folder/postgres/data' -l '$folder/postgres/log' -w -t 60 start -o \
    '-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$folder/postgres -c fsync=off -c max_connections=300'" >&2
  local postgres=postgresql://tidewheel@127.0.0.1:$port/postgres

  port=$(free_port)
  redis-server --bind 127.0.0.1 --port "$port" --dir "$folder" --daemonize yes --pidfile "$folder/redis.pid" \
    --logfile "$folder/redis.log" --save "" --appendonly no >&2
  for _ in $(seq 100); do
    redis-cli -p "$port" ping >/dev/null 2>&1 && break
    sleep 0.1
  done
  redis-cli -p "$port" ping >/dev/null
  local redis=redis://127.0.0.1:$port/0

  port=$(free_port)
  nats-server --addr 127.0.0.1 --port "$port" --jetstream --store_dir "$folder/nats" --pid "$folder/nats.pid" \
    --log "$folder/nats.log" >/dev/null 2>&1 </dev/null &
  await_port "$port" 10
  local nats=nats://127.0.0.1:$port

  if [ -f "$moto_home/ready" ]; then
    port=$(free_port)
    MOTO_S3_DEFAULT_MAX_KEYS=20 "$moto_home/bin/moto_server" -H 127.0.0.1 -p "$port" >"$folder/moto.log" 2>&1 </dev/null &
    echo $! >"$folder/moto.pid"
    await_port "$port" 60
    echo "export TIDEWHEEL_TEST_S3=http://127.0.0.1:$port"
  fi
  echo "export TIDEWHEEL_TEST_POSTGRES=$postgres"
  echo "export TIDEWHEEL_TEST_REDIS=$redis"
  echo "export TIDEWHEEL_TEST_NATS=$nats"
  echo "export TIDEWHEEL_TEST_SERVERS=$folder"
  trap - EXIT
}

stop() {
  local folder=${TIDEWHEEL_TEST_SERVERS:-}  # given by what start has printed
  [ -n "$folder" ] && [ -d "$folder" ] || { say "nothing to stop: TIDEWHEEL_TEST_SERVERS names no folder"; return; }
  as_postgres "$(find_postgres)/pg_ctl -D '$folder/postgres/data' -m immediate stop" >&2 || true
  for server in redis nats moto; do
    [ ! -f "$folder/$server.pid" ] || kill "$(cat "$folder/$server.pid")" || true
  done
  rm -rf "$folder"
}

case "${1:-}" in
  # "eval" of a command that fails goes on as if nothing were wrong; so a failure, too, is printed as what to run.
  start) "$0" start-or-fail || { echo "echo 'servers: did not start' >&2; false"; exit 1; } ;;
  start-or-fail) start ;;
  stop) stop ;;
  *) echo "usage: $0 start|stop" >&2; exit 1 ;;
esac
