# shellcheck shell=bash
# Seawall before a Redis, beside the same Redis asked directly.

# To Redis and back, in microseconds, where it is on another machine of the same network.
readonly ROUND_TRIP_US=300

# What memory lacks is asked for: each GET misses but for one in a thousand, and its value is taken
# into memory, from which another one goes. First with Redis on the same machine, then with a way to
# it that takes time, for Seawall's questions and for those who ask directly.
case_miss() {
    local what="GET that memory lacks" ms
    start redis bare
    note "  filling redis with $keys keys"
    fill redis "$keys"
    start seawall miss
    lacked "$CLIENTS" "$p1_ops" "$what, $CLIENTS clients"
    lacked 1 "$single_ops" "$what, 1 client"
    herd
    stop seawall
    relay between redis 0
    passed "$CLIENTS" "$p1_ops"
    passed 1 "$single_ops"
    stop between
    ms="$(awk -v us="$ROUND_TRIP_US" 'BEGIN { printf "%.1f", us / 1000 }')"
    relay far redis "$ROUND_TRIP_US"
    way[redis]="${port[far]}"
    start seawall miss
    lacked 8 "$((single_ops * 5))" "$what, 8 clients, $ms ms to Redis"
    lacked 1 "$single_ops" "$what, 1 client, $ms ms to Redis"
    stop seawall
    unset "way[redis]"
    stop far
    stop redis
}

# lacked <clients> <ops> <case>: asked of Seawall, and of Redis directly.
lacked() { compare load seawall redis "$3" "rps>=0.77" "$2" -c "$1" -P 1 -t get; }

# passed <clients> <ops>: what anything between costs that only passes bytes on.
passed() { compare between between redis "GET, clients: $1" "" "$2" -c "$1" -P 1 -t get; }

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

# What a hit costs with a Redis behind that is well, beside none: with the questions that go behind the
# reader's back, by default one a minute for each key that is read, and without them.
case_near() {
    local every
    start redis bare
    start seawall-tier near
    start seawall-alone everysec
    note "  filling both with $keys keys"
    fill seawall-tier "$keys"
    fill seawall-alone "$keys"
    in_step seawall-tier
    for every in 1m 0s; do
        cli seawall-tier config set redis.revalidate_after "$every" >/dev/null
        from_memory 64 "$p64_gets" "$every"
        from_memory 1 "$p1_ops" "$every"
    done
    stop seawall-tier
    stop seawall-alone
    stop redis
}

# from_memory <pipeline> <ops> <redis.revalidate_after>
from_memory() {
    compare cost seawall-tier seawall-alone \
        "GET from memory, pipeline $1, a Redis behind (\`revalidate_after\` $3) / none" "cpu<=1.1" "$2" \
        -c "$CLIENTS" -P "$1" -t get
}

# What clients feel of a Redis that hangs, from its first moment on: the same hits with Redis well.
# Both begin with everything in memory, fresh, and in Redis, too: what was in memory while Redis could
# not be heard is asked for again once it can, and what it lacks is brought to it.
case_hang() {
    local keys=$((keys / 10)) round order with
    start redis bare
    start seawall near
    rm -f "$work"/rounds.*
    for ((round = 1; round <= rounds; round++)); do
        if ((round % 2)); then order=(hanging well); else order=(well hanging); fi
        for with in "${order[@]}"; do
            fill seawall "$keys"
            in_step seawall
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
