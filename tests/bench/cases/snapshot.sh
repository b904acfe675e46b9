# shellcheck shell=bash
# What clients feel of a snapshot: the same load with one snapshot after the other going on, and
# without.

case_snapshot() {
    local server command round order with targets
    for server in seawall redis; do
        targets=""
        [[ "$server" == redis ]] || targets="p99<=2.0"
        start "$server" everysec
        note "  filling $server with $keys keys"
        fill "$server" "$keys"
        for command in get set; do
            rm -f "$work"/rounds.*
            for ((round = 1; round <= rounds; round++)); do
                if ((round % 2)); then order=(during quiet); else order=(quiet during); fi
                for with in "${order[@]}"; do
                    [[ "$with" == quiet ]] || begin_snapshots "$server"
                    one_run "${command^^}, pipeline 1 [$round/$rounds]" "$server-$with" "$server" \
                        "$p1_ops" -c "$CLIENTS" -P 1 -t "$command"
                    [[ "$with" == quiet ]] || end_snapshots "$server"
                done
            done
            row cost "$server-during" "$server-quiet" \
                "${command^^}, pipeline 1, ${server^}, during snapshots / without" "$targets"
        done
        stop "$server"
    done
}

# One snapshot after the other, from a process of its own that asks twenty times a second.
begin_snapshots() {
    snapshots_before="$(snapshots_taken "$1")"
    (
        exec {snap}<>"/dev/tcp/127.0.0.1/${port[$1]}"
        while printf 'BGSAVE\r\n' >&"$snap" && read -r -t 10 -u "$snap" _; do
            nap 0.05
        done
    ) >"$work/snapshots.log" 2>&1 &
    beside_pid=$!
}

# Ends that, and waits for the last one: the next measurement is to be without.
end_snapshots() {
    local deadline=$((SECONDS + RUN_TIMEOUT_S)) taken
    kill "$beside_pid" 2>/dev/null || die "no snapshots were asked for: $(<"$work/snapshots.log")"
    wait "$beside_pid" 2>/dev/null || true
    beside_pid=""
    until [[ "$(cli "$1" info persistence | tr -d '\r')" == *rdb_bgsave_in_progress:0* ]]; do
        ((SECONDS < deadline)) || die "a snapshot of $1 takes too long"
        nap 0.1
    done
    taken=$(($(snapshots_taken "$1") - snapshots_before))
    ((taken > 0)) || die "$1 has taken no snapshot"
    note "  $taken snapshots taken meanwhile"
}

snapshots_taken() { cli "$1" info persistence | tr -d '\r' | sed -n 's/^rdb_saves://p'; }
