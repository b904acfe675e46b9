# shellcheck shell=bash
# What the log costs: bytes on disk, and CPU beside a server without one.

# SETs with a time to live: bytes that the log or the append-only file has grown by, for each.
case_log-bytes() {
    local clients pipeline server before size=()
    start seawall everysec
    start redis everysec
    for clients in "$CLIENTS" 1; do
        for pipeline in 64 1; do
            for server in seawall redis; do
                before="$(log_bytes "$server")"
                bounded "$RUN_TIMEOUT_S" redis-benchmark -h 127.0.0.1 -p "${port[$server]}" -q \
                    -n "$bytes_ops" -r "$keys" -c "$clients" -P "$pipeline" \
                    SET key:__rand_int__ "$(printf 'x%.0s' $(seq "$VALUE_BYTES"))" EX 100000 \
                    >"$work/out" 2>&1 || die "redis-benchmark against $server failed: $(<"$work/out")"
                size+=("$(awk -v bytes=$(($(log_bytes "$server") - before)) -v ops="$bytes_ops" \
                    'BEGIN { printf "%.1f", bytes / ops }')")
            done
            note "  $clients clients, pipeline $pipeline: ${size[*]} bytes"
            figure "log bytes per SET with a TTL, $clients client$( ((clients == 1)) || echo s), pipeline $pipeline" \
                "${size[1]}" "${size[0]}" "${size[1]}" >>"$work/figures.md"
            size=()
        done
    done
    stop seawall
    stop redis
}

# log_bytes <server>: lengths of the files that its log consists of.
log_bytes() {
    local dir="${folder[$1]}/data/wal"
    [[ "$1" == seawall ]] || dir="${folder[$1]}/appendonlydir"
    find "$dir" -type f -printf '%s\n' | awk '{ sum += $1 } END { printf "%d\n", sum }'
}

# The same server with its log and without, which is a pure cache then.
case_log-cost() {
    local server targets
    for server in seawall redis; do
        targets=""
        [[ "$server" == redis ]] || targets="cpu<=1.25"
        start "$server" everysec
        start "$server-bare" bare
        fill "$server" "$keys"
        fill "$server-bare" "$keys"
        compare cost "$server" "$server-bare" "SET, pipeline 64, ${server^}, \`everysec\` / no log" \
            "$targets" "$p64_sets" -c "$CLIENTS" -P 64 -t set
        compare cost "$server" "$server-bare" "SET, pipeline 1, ${server^}, \`everysec\` / no log" \
            "" "$p1_ops" -c "$CLIENTS" -P 1 -t set
        stop "$server"
        stop "$server-bare"
    done
}
