# shellcheck shell=bash
# Seawall before a Redis, beside the same Redis asked directly.

# What memory lacks is asked for: each GET misses but for one in a thousand, and its value is taken
# into memory, from which another one goes.
case_miss() {
    start redis bare
    note "  filling redis with $keys keys"
    fill redis "$keys"
    start seawall miss
    compare load seawall redis "GET that memory lacks, $CLIENTS clients" "rps>=0.77" "$p1_ops" \
        -c "$CLIENTS" -P 1 -t get
    compare load seawall redis "GET that memory lacks, 1 client" "rps>=0.77" "$single_ops" \
        -c 1 -P 1 -t get
    herd
    stop seawall
    stop redis
}

# A thousand clients miss one key together.
herd() {
    local before after
    cli redis set herd value >/dev/null
    before="$(gets_of redis)"
    bounded "$RUN_TIMEOUT_S" redis-benchmark -h 127.0.0.1 -p "${port[seawall]}" -c 1000 -n 1000 \
        GET herd >"$work/herd" 2>&1 || die "redis-benchmark failed: $(tail -n 3 "$work/herd")"
    after="$(gets_of redis)"
    figure "GETs that Redis sees of 1,000 clients that miss one key together" 2 $((after - before)) 1000 \
        >>"$work/figures.md"
}

gets_of() { cli "$1" info commandstats | tr -d '\r' | sed -n 's/^cmdstat_get:calls=\([0-9]*\).*/\1/p'; }

# What clients feel of a Redis that hangs, from its first moment on: the same hits with Redis well.
case_hang() {
    local round order with
    start redis bare
    start seawall near
    note "  filling seawall with $keys keys"
    fill seawall "$keys"
    rm -f "$work"/rounds.*
    for ((round = 1; round <= rounds; round++)); do
        if ((round % 2)); then order=(hanging well); else order=(well hanging); fi
        for with in "${order[@]}"; do
            [[ "$with" == well ]] || kill -STOP "${pid[redis]}"
            one_run "GET, Redis $with [$round/$rounds]" "seawall-$with" seawall "$p1_ops" \
                -c "$CLIENTS" -P 1 -t get
            [[ "$with" == well ]] || kill -CONT "${pid[redis]}"
        done
    done
    row cost seawall-hanging seawall-well "GET from memory, Redis hanging / well" "p99<=2.0"
    stop seawall
    stop redis
}
