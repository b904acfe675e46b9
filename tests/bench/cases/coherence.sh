# shellcheck shell=bash
# Seawalls and the Redis behind them: how soon they hold the same.

# in_step <server>: waits until Redis has everything that was written there.
in_step() {
    local info deadline=$((SECONDS + RUN_TIMEOUT_S))
    until info="$(cli "$1" info seawall | tr -d '\r')" &&
        [[ "$info" == *redis_outbox:in_step$'\n'* && "$info" == *redis_outbox_lag_records:0$'\n'* ]]; do
        ((SECONDS < deadline)) || die "$1 did not get in step: $info"
        nap 0.05
    done
}

# values <server> <file>: what it holds of every key, a line each.
values() {
    seq -f 'key:%012.0f' 0 $((converge_keys - 1)) |
        xargs -n 1000 timeout 10 redis-cli -h 127.0.0.1 -p "${port[$1]}" mget >"$2" ||
        die "$1 does not tell what it holds"
}

# writes <share> <command ...>: so many hundredths of the writes, to random keys, over all of them; spread
# over as large a part of the outage.
writes() {
    local part
    for ((part = 0; part < $1; part++)); do
        bounded "$RUN_TIMEOUT_S" redis-benchmark -h 127.0.0.1 -p "${port[seawall]}" -q -c "$CLIENTS" -P 16 \
            -r "$converge_keys" -n $((converge_writes / 100)) "${@:2}" >"$work/out" 2>&1 ||
            die "redis-benchmark failed: $(tail -n 3 "$work/out")"
        written=$((written + 1))
        while ((SECONDS < outage_since + outage_s * written / 100)); do nap 0.2; done
    done
}

# A long time without Redis, with two crashes in it; Redis comes back with its old data, then empty.
case_converge() {
    local back outage_since written
    for back in old empty; do
        start redis everysec
        start seawall near
        fill seawall "$converge_keys"
        in_step seawall
        stop redis keep
        note "  $converge_writes writes without Redis within $outage_s s, and two crashes"
        outage_since=$SECONDS written=0
        writes 30 SET key:__rand_int__ __rand_int__
        crash seawall
        start seawall near again
        writes 30 SET key:__rand_int__ brief-__rand_int__ PX 2000
        writes 5 DEL key:__rand_int__
        crash seawall
        start seawall near again
        writes 30 SET key:__rand_int__ __rand_int__
        writes 5 SET key:__rand_int__ __rand_int__ EX 100000
        nap 3
        values seawall "$work/truth"
        converged "$back"
        stop seawall
        stop redis
    done
}

# converged <old|empty>: Redis comes back; the time until it holds what Seawall held without it.
converged() {
    local begun took
    [[ "$1" == old ]] || rm -rf "${folder[redis]:?}"/*
    start redis everysec again
    begun="${EPOCHREALTIME/./}"
    in_step seawall
    took="$(awk -v us=$((${EPOCHREALTIME/./} - begun)) 'BEGIN { printf "%.1f", us / 1e6 }')"
    values redis "$work/redis"
    values seawall "$work/seawall"
    cmp "$work/truth" "$work/redis" || die "Redis does not hold what Seawall held without it"
    cmp "$work/truth" "$work/seawall" || die "Seawall does not hold what it held without Redis"
    ! grep -q brief "$work/redis" || die "what had expired is back"
    note "  $1: $took s, $(grep -c . "$work/truth") keys the same, $(grep -c '^$' "$work/truth") absent"
    local with="with its old data"
    [[ "$1" == old ]] || with="empty"
    figure "Redis back, $with, after $converge_writes writes within $outage_s s on $converge_keys keys and two crashes without it: all the same after (s)" \
        60 "$took" – >>"$work/figures.md"
}

# Two Seawalls before one Redis, a writer at each of the three.
case_staleness() {
    local server mode before begun took cpu=()
    rustc -O --edition 2024 -o "$work/staleness" "$here/staleness.rs" || die "staleness.rs does not build"
    for mode in near through; do
        start redis bare
        start seawall-one "$mode"
        start seawall-other "$mode"
        declare -A before=()
        for server in redis seawall-one seawall-other; do before[$server]="$(cpu_ticks "$server")"; done
        begun="${EPOCHREALTIME/./}"
        bounded "$RUN_TIMEOUT_S" "$work/staleness" "$staleness_s" "127.0.0.1:${port[redis]}" \
            "127.0.0.1:${port[seawall-one]}" "127.0.0.1:${port[seawall-other]}" >"$work/staleness.out" ||
            die "the readers saw something wrong"
        took=$((${EPOCHREALTIME/./} - begun))
        cpu=()
        for server in redis seawall-one seawall-other; do
            cpu+=("$(awk -v ticks=$(($(cpu_ticks "$server") - before[$server])) -v hz="$ticks_per_s" \
                -v us="$took" 'BEGIN { printf "%.0f", 100 * ticks / hz / (us / 1e6) }')")
        done
        awk -v mode="${mode/near/behind}" -v cpu="${cpu[*]}" '{
            split(cpu, part, " ")
            from = ($1 == "Redis" ? "Redis, beside" : "a Seawall, with") " `redis.write = \"" mode "\"`"
            printf "| %s | %d | %s / %s / %s / %s | p99 < 10 | %s | %s / %s / %s |\n", from, $3, $4, $5, $6,
                $7, $5 < 10 ? "met" : "**not met**", part[1], part[2], part[3]
        }' "$work/staleness.out" >>"$work/stale.md"
        note "$(sed 's/^/  /' "$work/staleness.out")"
        for server in seawall-one seawall-other redis; do stop "$server"; done
    done
}
