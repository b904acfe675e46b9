//! What INFO, LATENCY and /metrics say of single commands.

use crate::support::http::get;
use crate::support::{Daemon, Reply, Setup};

/// The fields behind a name in INFO: `calls=1,usec=2,…`.
fn info(daemon: &Daemon, section: &str, name: &str) -> Option<String> {
    let text = daemon.connect().run(&format!("INFO {section}")).text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.map(str::to_owned)
}

/// Calls, refused and failed requests of a command.
fn counts(daemon: &Daemon, command: &str) -> [u64; 3] {
    let line = info(daemon, "commandstats", &format!("cmdstat_{command}")).unwrap_or_default();
    ["calls", "rejected_calls", "failed_calls"].map(|name| {
        let value = line.split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        value.map_or(0, |number| number.parse().expect("a number"))
    })
}

#[test]
fn every_command_is_counted_as_redis_counts_it() {
    let daemon = Setup::new().with("cache.shards", "4").start();
    let mut client = daemon.connect();
    for line in ["SET s word", "INCR s", "INCR s 1 2", "GET s", "get s", "MGET s t u", "NOSUCH"] {
        client.run(line);
    }
    // Queued commands count when they run, and those of a dropped transaction never.
    for line in ["MULTI", "SET a 1", "INCR s", "STRLEN s s", "DISCARD", "MULTI", "SET a 1"] {
        client.run(line);
    }
    client.run("INCR s");
    assert!(matches!(client.run("EXEC"), Reply::Array(_)));
    assert_eq!(counts(&daemon, "get"), [2, 0, 0]);
    assert_eq!(counts(&daemon, "mget"), [1, 0, 0]);
    assert_eq!(counts(&daemon, "set"), [2, 0, 0]);
    assert_eq!(counts(&daemon, "incr"), [2, 1, 2]);
    assert_eq!(counts(&daemon, "strlen"), [0, 1, 0]);
    assert_eq!((counts(&daemon, "multi"), counts(&daemon, "exec")), ([2, 0, 0], [1, 0, 0]));
    assert!(info(&daemon, "latencystats", "latency_percentiles_usec_get").is_some());
    assert!(info(&daemon, "latencystats", "latency_percentiles_usec_strlen").is_none());
    client.run("CONFIG RESETSTAT");
    assert_eq!(counts(&daemon, "get"), [0, 0, 0]);
}

#[test]
fn a_pipeline_counts_each_of_its_commands() {
    let daemon = Setup::new().with("cache.shards", "2").start();
    let mut client = daemon.connect();
    client.send_bytes("SET k 1\r\nGET k\r\nINCR k\r\nGETRANGE k\r\nGET k\r\n".repeat(300));
    (0..1500).for_each(|_| drop(client.receive()));
    assert_eq!(counts(&daemon, "set"), [300, 0, 0]);
    assert_eq!(counts(&daemon, "get"), [600, 0, 0]);
    assert_eq!(counts(&daemon, "getrange"), [0, 300, 0]);
    let Reply::Array(histogram) = client.run("LATENCY HISTOGRAM get") else { panic!("a map") };
    assert_eq!(histogram[0], Reply::bulk("get"));
    let Reply::Array(fields) = &histogram[1] else { panic!("a map") };
    assert_eq!(fields[..2], [Reply::bulk("calls"), Reply::Int(600)]);
    let Reply::Array(buckets) = &fields[3] else { panic!("a map") };
    assert_eq!(buckets.last(), Some(&Reply::Int(600)));
    let series = "seawall_command_calls_total{command=\"get\"} 600";
    crate::support::wait_until("the next beat has it", || {
        get(daemon.admin(), "/metrics").1.lines().any(|line| line == series)
    });
}
