# shellcheck shell=bash
# GET and SET under load, beside Redis.

case_p64() {
    both everysec
    against_redis "GET, pipeline 64" "cpu<=0.6 rps>=1.6" "$p64_gets" -c "$CLIENTS" -P 64 -t get
    against_redis "SET, pipeline 64" "cpu<=0.6 rps>=1.6" "$p64_sets" -c "$CLIENTS" -P 64 -t set
    stop seawall
    stop redis
}

case_p1() {
    both everysec
    against_redis "GET, pipeline 1" "cpu<=1.0 p99<=1.0" "$p1_ops" -c "$CLIENTS" -P 1 -t get
    against_redis "SET, pipeline 1" "cpu<=1.0 p99<=1.0" "$p1_ops" -c "$CLIENTS" -P 1 -t set
    stop seawall
    stop redis
}

case_always() {
    both always
    against_redis "SET, \`always\`, $CLIENTS clients" "rps>=1.25 cpu<=1.0" "$always_ops" \
        -c "$CLIENTS" -P 1 -t set
    against_redis "SET, \`always\`, 1 client" "rps>=1.0" "$single_ops" -c 1 -P 1 -t set
    stop seawall
    stop redis
}

against_redis() { compare load seawall redis "$@"; }
