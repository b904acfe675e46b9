# shellcheck shell=bash
# The report: what was measured on, the tables, and their place in docs/benchmarks.md.

machine() {
    local model load
    model="$(awk -F': *' '/^model name/ { print $2; exit }' /proc/cpuinfo)"
    read -r load _ </proc/loadavg
    printf 'Measured on %s: %s, %s cores, %s GB of memory, Linux %s, data on %s; load before the run %s. ' \
        "$(date -u +%F)" "${model:-unknown CPU ($(uname -m))}" "$(nproc)" \
        "$(awk '/^MemTotal:/ { printf "%.1f", $2 * 1024 / 1e9 }' /proc/meminfo)" "$(uname -r)" \
        "$(df --output=fstype "$work" | tail -n 1)" "$load"
    printf '%s; Redis %s. Medians of %s rounds, %s keys, values of %s bytes.\n' \
        "$(timeout 10 "$seawall" --version)" \
        "$(timeout 10 redis-server --version | sed 's/.* v=\([^ ]*\).*/\1/')" \
        "$rounds" "$keys" "$VALUE_BYTES"
    awk -v load="$load" 'BEGIN { exit load < 0.5 }' &&
        note "*** the machine is not quiet (load $load): these numbers are not to be quoted"
    return 0
}

report() {
    printf '%s\n' "$machine"
    loaded load 'Each pair is Seawall / Redis; ratios are Seawall divided by Redis.'
    loaded between 'Something between the clients and Redis that only passes bytes on: each pair is through it / directly.'
    loaded cost 'What the log, snapshots, a Redis behind and one that hangs cost: each pair is with / without, of the same server.'
    if [[ -s "$work/stale.md" ]]; then
        printf '\nTwo Seawalls before one Redis, written to side by side: from the moment when a write was '
        printf 'acknowledged until a Seawall that was not written to serves it. '
        printf 'CPU is that of Redis and of either Seawall, with all writers and readers of the mode.\n'
        printf '\n| written to | writes | p50 / p99 / p99.9 / longest (ms) | target | | CPU (%% of a core) |\n'
        printf '|---|---|---|---|---|---|\n'
        cat "$work/stale.md"
    fi
    if [[ -s "$work/figures.md" ]]; then
        printf '\n| | Seawall | Redis | target | |\n|---|---|---|---|---|\n'
        cat "$work/figures.md"
    fi
}

# loaded <table> <what its pairs are>: a table of cases under load, if any was measured.
loaded() {
    [[ -s "$work/$1.md" ]] || return 0
    printf '\n%s\n\n' "$2"
    printf '| case | throughput (op/s) | ratio | server CPU (µs/op) | ratio | p50 (ms) | p99 (ms) | ratio | target | |\n'
    printf '|---|---|---|---|---|---|---|---|---|---|\n'
    cat "$work/$1.md"
}

# replace_block <document> <file>: what is between the markers becomes the file.
replace_block() {
    awk -v begin="$BEGIN_MARK" -v end="$END_MARK" -v file="$2" '
        $0 == begin && !begun { print; print ""; while ((getline line < file) > 0) print line
                                print ""; begun = 1; inside = 1; next }
        $0 == end && inside { inside = 0; ended = 1 }
        !inside { print }
        END { exit !(begun && ended) }' "$1" >"$work/document" ||
        die "$1 lacks the markers around the results; it is unchanged"
    cat "$work/document" >"$1"
}

