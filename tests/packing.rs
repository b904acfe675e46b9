//! Large values are compressed in the log and in snapshots, and nobody notices.

use std::fs;
use std::path::Path;

use crate::support::{Daemon, Raw, Reply, Setup};

/// A document of `len` bytes that shrinks well.
fn document(n: usize, len: usize) -> String {
    let line = format!(r#"{{"id":{n},"name":"user {n}","active":true}},"#);
    line.repeat(len.div_ceil(line.len()))[..len].to_owned()
}

fn log_info(client: &mut Raw, field: &str) -> u64 {
    let text = client.run("INFO seawall").text();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.expect("the field").parse().expect("a number")
}

fn length_of_snapshots(daemon: &Daemon) -> u64 {
    let dir = fs::read_dir(daemon.dir().join("data/snap")).expect("snapshots");
    dir.map(|entry| entry.expect("an entry").metadata().expect("its length").len()).sum()
}

fn expect_all(client: &mut Raw, values: &[(String, String)]) {
    for (key, value) in values {
        assert_eq!(client.run(&format!("GET {key}")), Reply::bulk(value), "{key}");
    }
}

#[test]
fn packed_values_come_back_after_a_kill_from_the_log_and_from_a_snapshot() {
    let mut daemon = Setup::new().start();
    let mut client = daemon.connect();
    let lengths = [500, 1000, 1001, 5000, 40_000, 300_000];
    let values: Vec<(String, String)> =
        lengths.iter().map(|&len| (format!("key:{len}"), document(len, len))).collect();
    for (key, value) in &values {
        assert_eq!(client.call(&["SET", key, value, "EX", "1000"]), Reply::ok());
    }
    let saved = log_info(&mut client, "wal_saved_bytes");
    let logged = log_info(&mut client, "wal_bytes");
    assert!(saved > 300_000 && logged < 40_000, "saved {saved}, logged {logged}");

    daemon.kill();
    daemon.restart();
    let mut client = daemon.connect();
    expect_all(&mut client, &values);

    assert_eq!(client.run("SAVE"), Reply::ok());
    let length = length_of_snapshots(&daemon);
    assert!(length < 40_000, "a snapshot of {length} bytes");
    daemon.kill();
    daemon.restart();
    let mut client = daemon.connect();
    expect_all(&mut client, &values);
    assert!(client.run("TTL key:300000").int() > 0);
}

#[test]
fn values_are_left_as_they_are_where_packing_does_not_pay_or_is_not_wanted() {
    let daemon = Setup::new().start();
    let mut client = daemon.connect();
    let noise: Vec<u8> = (0u32..10_000)
        .flat_map(|i| (i.pow(2) ^ i.rotate_left(7)).wrapping_mul(2_654_435_761).to_be_bytes())
        .collect();
    assert_eq!(client.call(&[b"SET".as_slice(), b"noise", &noise]), Reply::ok());
    assert_eq!(log_info(&mut client, "wal_saved_bytes"), 0);

    assert_eq!(client.run("CONFIG SET wal.compress_above 0"), Reply::ok());
    assert_eq!(client.call(&["SET", "text", &document(1, 9000)]), Reply::ok());
    assert_eq!(log_info(&mut client, "wal_saved_bytes"), 0);

    assert_eq!(client.run("CONFIG SET wal.compress_above 8KB"), Reply::ok());
    assert_eq!(client.call(&["SET", "text", &document(1, 9000)]), Reply::ok());
    assert!(log_info(&mut client, "wal_saved_bytes") > 7000);
}

#[test]
fn the_offline_tools_show_packed_values_as_they_were() {
    let mut daemon = Setup::new().start();
    let value = document(7, 3000);
    assert_eq!(daemon.connect().call(&["SET", "key", &value]), Reply::ok());
    daemon.stop();
    let shown = wal(&daemon.dir().join("data"), &["dump", "--values", "--json", "--db", "0"]);
    let record: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(record["value"].as_str(), Some(value.as_str()));
    wal(&daemon.dir().join("data"), &["verify"]);
}

/// Runs `seawall wal …` on a data directory and returns what it prints.
fn wal(data: &Path, words: &[&str]) -> String {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_seawall"));
    let output = command.arg("wal").args(words).arg("--data").arg(data).output();
    let output = output.expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}
