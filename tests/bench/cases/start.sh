# shellcheck shell=bash
# Starting, idling, and starting on a full log.

# The Seawall of a fresh installation, and a Redis that logs as it does, with nothing in them.
case_start() {
    local server round before after own
    for server in seawall redis; do
        for ((round = 1; round <= rounds; round++)); do
            start "$server" default
            own=0
            if [[ "$server" == seawall ]]; then
                own="$(sed -n 's/.*"ready_in_ms":\([0-9]*\).*/\1/p' "$work/$server.log" | head -n 1)"
                [[ -n "$own" ]] || die "Seawall's log does not say ready_in_ms"
            fi
            printf '%s %s\n' "$started_ms" "$own" >>"$work/ready.$server"
            note "  start [$round/$rounds]: $server: PING answered after $started_ms ms"
            ((round == rounds)) || stop "$server"
        done
        nap "$SETTLE_S"
        before="$(cpu_ticks "$server")"
        nap "$IDLE_S"
        after="$(cpu_ticks "$server")"
        awk -v ticks=$((after - before)) -v hz="$ticks_per_s" -v s="$IDLE_S" \
            'BEGIN { printf "%.1f\n", 100 * ticks / hz / s }' >"$work/idle_cpu.$server"
        rss_mb "$server" >"$work/idle_rss.$server"
        note "  idle: $server: $(<"$work/idle_cpu.$server") % of a core, $(<"$work/idle_rss.$server") MB"
        stop "$server"
    done
    {
        figure "start to ready, no data: from exec to the answer to PING (ms)" 100 \
            "$(median "$work/ready.seawall" 1)" "$(median "$work/ready.redis" 1)"
        figure "start to ready, no data: the daemon's own \`ready_in_ms\` (ms)" 100 \
            "$(median "$work/ready.seawall" 2)" "–"
        figure "idle CPU over $IDLE_S s, no data (% of a core)" 0.5 \
            "$(<"$work/idle_cpu.seawall")" "$(<"$work/idle_cpu.redis")"
        figure "idle RSS, no data (MB)" 25 "$(<"$work/idle_rss.seawall")" "$(<"$work/idle_rss.redis")"
    } >>"$work/figures.md"
}

# A start on a full log, from the page cache: the disk is not what is measured.
case_replay() {
    local server round order
    for server in seawall redis; do
        start "$server" everysec
        note "  filling $server with $replay_keys keys that expire"
        fill "$server" "$replay_keys" ttl
        stop "$server" keep
    done
    for ((round = 1; round <= rounds; round++)); do
        if ((round % 2)); then order=(seawall redis); else order=(redis seawall); fi
        for server in "${order[@]}"; do
            bounded 120 sync -f "$work" || die "sync took too long"
            start "$server" everysec again
            holds "$server" "$replay_keys"
            printf '%s\n' "$started_ms" >>"$work/replay.$server"
            note "  replay [$round/$rounds]: $server: PING answered after $started_ms ms"
            stop "$server" keep
        done
    done
    rm -rf "${folder[@]}"
    # Target: at least three times as fast.
    figure "start on the log of $replay_keys SETs with a TTL: from exec to the answer to PING (ms)" \
        "$(awk -v theirs="$(median "$work/replay.redis" 1)" 'BEGIN { printf "%.0f", theirs / 3 }')" \
        "$(median "$work/replay.seawall" 1)" "$(median "$work/replay.redis" 1)" >>"$work/figures.md"
}

