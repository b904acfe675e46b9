# shellcheck shell=bash
# Servers under test: starting, filling, stopping. A server's name is a program, `seawall` or
# `redis`, with a word behind a dash where two of a kind run side by side: `seawall-bare`.

declare -A pid=() port=() folder=()
# Where a server is to be asked, if that is not its own port: a way there that takes time.
declare -A way=()
load_pid="" beside_pid=""
work="$(mktemp -d)"
mkfifo "$work/never"
# Waiting on a pipe that nobody writes to is a sleep without starting a process.
exec {never}<>"$work/never"
nap() { read -r -t "$1" -u "$never" || true; }

cleanup() {
    local status=$? server process
    trap - EXIT INT TERM HUP
    for process in $load_pid $beside_pid; do
        kill "$process" 2>/dev/null || true
    done
    for server in "${!pid[@]}"; do
        stop "$server" || true
    done
    rm -rf "$work"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# Runs a command that can be interrupted (bash runs no trap before a foreground command ends) and
# that ends in time. redis-benchmark waits for ever once its server is gone.
bounded() {
    local status=0
    timeout -k 5 "$@" &
    load_pid=$!
    wait "$load_pid" || status=$?
    load_pid=""
    return "$status"
}

# Both servers answer on the loopback interface, on ports that nobody listens on.
free_port() {
    local candidate
    for _ in {1..100}; do
        candidate=$((20000 + RANDOM % 10000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$candidate") 2>/dev/null; then
            printf '%d\n' "$candidate"
            return
        fi
    done
    die "found no free port"
}

cli() { timeout -k 1 10 redis-cli -h 127.0.0.1 -p "${port[$1]}" "${@:2}"; }

redis_url() { printf 'redis://127.0.0.1:%s' "${way[redis]:-${port[redis]}}"; }

answers_ping() {
    local answer="" fd
    { exec {fd}<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return 1
    printf 'PING\r\n' >&"$fd" && read -r -t 1 -u "$fd" answer || true
    exec {fd}>&-
    [[ "$answer" == +PONG* ]]
}

# start <server> <mode> [again]: a fresh server on a fresh folder, or `again` on the folder and the
# port that it had; $started_ms is the time until it answered PING. Modes: default (Seawall as it comes), and
# with the limits lifted and no snapshots by schedule: everysec, always, bare (without a log), near
# (before the server `redis`, which has its port already), through (the same, with replies that wait
# for Redis), miss (the same, with room for few entries).
start() {
    local server="$1" mode="$2" deadline=$((SECONDS + START_TIMEOUT_S)) began pause=0.001
    local settings=() logged=(--appendonly yes)
    # A server that loads is asked less often: answering takes its time.
    if [[ "${3:-}" == again ]]; then
        pause=0.02
    else
        folder[$server]="$(mktemp -d "$work/$server.XXXXXX")"
        port[$server]="$(free_port)"
    fi
    local data="${folder[$server]}"
    began="${EPOCHREALTIME/./}"
    if [[ "$server" == seawall* ]]; then
        : >"$data/seawall.toml"
        settings=(SEAWALL__SERVER__BIND="127.0.0.1:${port[$server]}"
            SEAWALL__ADMIN__BIND=127.0.0.1:0 SEAWALL__DATA__DIR="$data/data"
            SEAWALL__LOG__FORMAT=json)
        [[ "$mode" == default ]] ||
            settings+=(SEAWALL__CACHE__MAX_ENTRIES=0 SEAWALL__CACHE__MAX_MEMORY=0
                SEAWALL__SNAPSHOT__EVERY=0s SEAWALL__SNAPSHOT__AFTER_BYTES=0)
        case "$mode" in
            default) ;;
            bare) settings+=(SEAWALL__WAL__ENABLED=false) ;;
            near) settings+=(SEAWALL__REDIS__URL="$(redis_url)") ;;
            through)
                settings+=(SEAWALL__REDIS__URL="$(redis_url)" SEAWALL__REDIS__WRITE=through)
                ;;
            miss)
                settings+=(SEAWALL__REDIS__URL="$(redis_url)"
                    SEAWALL__CACHE__MAX_ENTRIES=$((keys / 1000)))
                ;;
            *) settings+=(SEAWALL__WAL__FSYNC="$mode") ;;
        esac
        env "${settings[@]}" "$seawall" --config "$data/seawall.toml" >"$work/$server.log" 2>&1 &
    else
        [[ "$mode" != default ]] || mode=everysec
        if [[ "$mode" == bare ]]; then
            logged=(--appendonly no)
        else
            logged+=(--appendfsync "$mode")
        fi
        # No rewrite of the append-only file either: Seawall does nothing like it during the run.
        redis-server --bind 127.0.0.1 --port "${port[$server]}" --dir "$data" --save "" \
            "${logged[@]}" --auto-aof-rewrite-percentage 0 >"$work/$server.log" 2>&1 &
    fi
    pid[$server]=$!
    until answers_ping "${port[$server]}"; do
        if ! kill -0 "${pid[$server]}" 2>/dev/null || ((SECONDS >= deadline)); then
            tail -n 20 "$work/$server.log" >&2
            die "$server did not start"
        fi
        nap "$pause"
    done
    started_ms="$(awk -v us=$((${EPOCHREALTIME/./} - began)) 'BEGIN { printf "%.1f", us / 1000 }')"
    # Someone else may have taken the port in between.
    [[ "$(cli "$server" info server | tr -d '\r')" == *"process_id:${pid[$server]}"$'\n'* ]] ||
        die "another server answers on port ${port[$server]}"
}

# relay <name> <server> <round trip in microseconds>: another way to a server, on ${port[name]}.
relay() {
    local deadline=$((SECONDS + START_TIMEOUT_S))
    [[ -x "$work/relay" ]] || rustc -O --edition 2024 -o "$work/relay" "$here/relay.rs" ||
        die "relay.rs does not build"
    folder[$1]="$(mktemp -d "$work/$1.XXXXXX")"
    port[$1]="$(free_port)"
    "$work/relay" "${port[$1]}" "${port[$2]}" "$3" >"$work/$1.log" 2>&1 &
    pid[$1]=$!
    until answers_ping "${port[$1]}"; do
        ((SECONDS < deadline)) || die "$1 did not start: $(<"$work/$1.log")"
        nap 0.01
    done
}

# stop <server> [keep]: with `keep` its folder stays, to be started again.
stop() {
    local server="$1" process deadline=$((SECONDS + STOP_TIMEOUT_S))
    process="${pid[$server]}"
    unset "pid[$server]"
    kill -TERM "$process" 2>/dev/null || true
    while kill -0 "$process" 2>/dev/null; do
        if ((SECONDS >= deadline)); then
            note "$server ignored SIGTERM for $STOP_TIMEOUT_S s; killing it"
            kill -KILL "$process" 2>/dev/null || true
            break
        fi
        nap 0.02
    done
    wait "$process" 2>/dev/null || true
    [[ "${2:-}" == keep ]] || rm -rf "${folder[$server]}"
}

# crash <server>: it ends at once; its folder stays.
crash() {
    local process="${pid[$1]}"
    unset "pid[$1]"
    kill -KILL "$process"
    wait "$process" 2>/dev/null || true
}

# fill <server> <keys> [ttl]: every key, once; with `ttl` each expires in one to eleven days.
fill() {
    local server="$1" keys="$2"
    awk -v keys="$keys" -v bytes="$VALUE_BYTES" -v ttl="${3:-}" 'BEGIN {
        value = sprintf("%*s", bytes, ""); gsub(/ /, "x", value)
        srand(1)
        for (i = 0; i < keys; i++) {
            printf "*%d\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$%d\r\n%s\r\n", ttl ? 5 : 3, i, bytes, value
            if (ttl) printf "$2\r\nEX\r\n$6\r\n%d\r\n", 100000 + int(rand() * 899999)
        }
    }' >"$work/fill"
    (exec <"$work/fill" && exec timeout -k 5 "$FILL_TIMEOUT_S" \
        redis-cli -h 127.0.0.1 -p "${port[$server]}" --pipe) >"$work/fill.log" 2>&1 &
    load_pid=$!
    wait "$load_pid" || die "filling $server failed: $(<"$work/fill.log")"
    load_pid=""
    rm -f "$work/fill"
    holds "$server" "$keys"
}

# holds <server> <keys>: or the measurement is worth nothing.
holds() {
    local held
    held="$(cli "$1" dbsize | tr -dc 0-9)"
    [[ "$held" == "$2" ]] || die "$1 holds $held of $2 keys"
}

# both <mode>: Seawall and Redis side by side, holding every key that the load can name: each GET
# is a hit.
both() {
    local server
    for server in seawall redis; do
        start "$server" "$1"
        note "  filling $server with $keys keys"
        fill "$server" "$keys"
    done
}
