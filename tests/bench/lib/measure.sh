# shellcheck shell=bash
# Measuring: CPU, memory, load; and the rows that come of it. Rows are collected in
# $work/<table>.md, one file per table of the report.

ticks_per_s="$(getconf CLK_TCK)"

# User and system time of a process and all its threads, in clock ticks.
cpu_ticks() {
    local stat
    stat="$(<"/proc/${pid[$1]}/stat")"
    # The name in parentheses may hold spaces: count from behind it.
    awk '{ print $12 + $13 }' <<<"${stat##*) }"
}

# Resident memory in MB of a million bytes.
rss_mb() { awk '/^VmRSS:/ { printf "%.1f\n", $2 * 1024 / 1e6 }' "/proc/${pid[$1]}/status"; }

# median <file> <column>
median() {
    awk -v column="$2" '{ print $column }' "$1" | sort -n |
        awk '{ v[NR] = $1 } END { m = int((NR + 1) / 2); print NR % 2 ? v[m] : (v[m] + v[m + 1]) / 2 }'
}

# one_run <case> <row> <server> <ops> <redis-benchmark arguments>: adds a line
# "rps cpu_us p50 p99" to the row's rounds.
one_run() {
    local label="$1" row="$2" server="$3" ops="$4" before after line
    # The other server's dirty pages must not be written back on this one's time.
    bounded 120 sync -f "$work" || die "sync took too long"
    before="$(cpu_ticks "$server")"
    bounded "$RUN_TIMEOUT_S" redis-benchmark -h 127.0.0.1 -p "${way[$server]:-${port[$server]}}" -n "$ops" \
        -d "$VALUE_BYTES" -r "$keys" --csv "${@:5}" >"$work/csv" 2>"$work/csv.err" ||
        die "redis-benchmark against $server failed: $(tail -n 3 "$work/csv" "$work/csv.err")"
    after="$(cpu_ticks "$server")"
    line="$(awk -F'"' -v ticks=$((after - before)) -v hz="$ticks_per_s" -v ops="$ops" '
        $2 ~ /^(GET|SET)/ {
            rows++
            line = sprintf("%.0f %.3f %.3f %.3f", $4, ticks / hz * 1e6 / ops, $10, $14)
        }
        END { if (rows == 1) print line; else exit 1 }' "$work/csv")" ||
        die "redis-benchmark against $server gave no result: $(<"$work/csv")"
    printf '%s\n' "$line" >>"$work/rounds.$row"
    note "  $label: $row: $(awk '{ printf "%s/s, %s us/op, p50 %s ms, p99 %s ms", $1, $2, $3, $4 }' <<<"$line")"
}

# compare <table> <ours> <theirs> <case> <targets> <ops> <redis-benchmark arguments>: two servers
# in turn, medians, a row.
compare() {
    local table="$1" ours="$2" theirs="$3" label="$4" targets="$5" ops="$6" round server order
    shift 6
    rm -f "$work"/rounds.*
    for ((round = 1; round <= rounds; round++)); do
        # Who goes first changes, so that neither always meets the quieter machine.
        if ((round % 2)); then order=("$ours" "$theirs"); else order=("$theirs" "$ours"); fi
        for server in "${order[@]}"; do
            one_run "$label [$round/$rounds]" "$server" "$server" "$ops" "$@"
        done
    done
    row "$table" "$ours" "$theirs" "$label" "$targets"
}

# row <table> <ours> <theirs> <case> <targets>: a row of the medians of two rows of rounds.
# Targets are words like cpu<=0.6: the ratio ours / theirs of cpu, rps or p99.
row() {
    local table="$1" which column
    {
        printf '%s\n%s\n' "$4" "$5"
        for which in "$2" "$3"; do
            for column in 1 2 3 4; do median "$work/rounds.$which" "$column"; done
        done
    } | awk '
        { field[NR] = $0 }
        function ratio(a, b) { return b > 0 ? a / b : 0 }
        END {
            r["rps"] = ratio(field[3], field[7]); name["rps"] = "throughput"
            r["cpu"] = ratio(field[4], field[8]); name["cpu"] = "CPU"
            r["p99"] = ratio(field[6], field[10]); name["p99"] = "p99"
            count = split(field[2], wanted, " ")
            for (i = 1; i <= count; i++) {
                split(wanted[i], part, /[<>]=/)
                least = wanted[i] ~ />=/
                got = r[part[1]]
                met = got > 0 && (least ? got >= part[2] : got <= part[2])
                target = target (i > 1 ? ", " : "") name[part[1]] (least ? " ≥ " : " ≤ ") part[2]
                verdict = verdict (i > 1 ? ", " : "") name[part[1]] (met ? " met" : " **not met**")
            }
            printf "| %s | %.0f / %.0f | %.3f | %.2f / %.2f | %.3f | %.3f / %.3f | %.3f / %.3f | %.3f | %s | %s |\n",
                field[1], field[3], field[7], r["rps"], field[4], field[8], r["cpu"],
                field[5], field[9], field[6], field[10], r["p99"], target, verdict
        }' >>"$work/$table.md"
}

# figure <what> <bound> <Seawall's> <Redis'>: a row whose target is to stay below a bound.
figure() {
    awk -v what="$1" -v bound="$2" -v ours="$3" -v theirs="$4" 'BEGIN {
        printf "| %s | %s | %s | < %s | %s |\n", what, ours, theirs, bound,
            ours + 0 < bound + 0 ? "met" : "**not met**"
    }'
}
