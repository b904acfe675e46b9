//! Real clients: the `redis` crate, redis-cli; and what CLIENT shows and does.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use redis::Commands as _;

use crate::support::raw::encode;
use crate::support::redis::missing;
use crate::support::{Daemon, Raw, Reply, Setup, wait_until};

/// Runs redis-cli against the daemon; `None` if this machine has none and none is demanded.
fn redis_cli(daemon: &Daemon, args: &[&str], input: &[u8]) -> Option<String> {
    let spawned = Command::new("redis-cli")
        .args(["-h", "127.0.0.1", "-p", &daemon.resp().port().to_string()])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            missing("redis-cli", &error);
            return None;
        }
    };
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    let feeding = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("redis-cli ends");
    feeding.join().expect("no panic").expect("redis-cli reads its input");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    Some(String::from_utf8_lossy(&output.stdout).into_owned() + &errors)
}

#[test]
fn the_redis_crate_works() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    let () = client.set("k", "v").expect("SET");
    let () = client.set_ex("t", 1, 100).expect("SETEX");
    assert_eq!(client.get::<_, String>("k").expect("GET"), "v");
    assert_eq!(client.ttl::<_, i64>("t").expect("TTL"), 100);
    assert_eq!(client.get::<_, Option<String>>("absent").expect("GET"), None);
    let (a, b): (i64, Vec<Option<String>>) = redis::pipe()
        .atomic()
        .incr("n", 5)
        .mget(&["k", "absent"])
        .query(&mut client)
        .expect("a transaction");
    assert_eq!((a, b), (5, vec![Some("v".into()), None]));
    let keys: Vec<String> =
        client.scan_match("k*").expect("SCAN").map(|k| k.expect("a key")).collect();
    assert_eq!(keys, ["k"]);
    let error = client.incr::<_, _, i64>("k", 1).expect_err("not a number");
    assert_eq!(error.code(), Some("ERR"));
}

#[test]
fn the_redis_crate_works_in_resp3_and_with_a_password() {
    let daemon = Setup::new().with("server.requirepass", r#""secret""#).start();
    let url = format!("redis://:secret@{}/3?protocol=resp3", daemon.resp());
    let mut client = redis::Client::open(url).expect("a URL").get_connection().expect("accepted");
    let () = client.set("k", "v").expect("SET");
    assert_eq!(client.get::<_, String>("k").expect("GET"), "v");
    let wrong = format!("redis://:wrong@{}/", daemon.resp());
    let refused = redis::Client::open(wrong).expect("a URL").get_connection();
    assert!(refused.is_err());
}

#[test]
fn the_redis_crates_multiplexed_connection_serves_many_tasks() {
    let daemon = Daemon::start();
    let url = format!("redis://{}/", daemon.resp());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let client = redis::Client::open(url).expect("a URL");
        let shared = client.get_multiplexed_async_connection().await.expect("accepted");
        let tasks: Vec<_> = (0..200)
            .map(|i: i64| {
                let mut connection = shared.clone();
                tokio::spawn(async move {
                    use redis::AsyncCommands as _;
                    let () = connection.set(i, i * i).await.expect("SET");
                    assert_eq!(connection.get::<_, i64>(i).await.expect("GET"), i * i);
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
    });
    assert_eq!(daemon.connect().run("DBSIZE"), Reply::Int(200));
}

#[test]
fn redis_cli_works_in_both_protocols() {
    let daemon = Daemon::start();
    for protocol in ["-2", "-3"] {
        let run = |args: &[&str]| redis_cli(&daemon, &[&[protocol][..], args].concat(), b"");
        let Some(set) = run(&["set", "hello", "world", "ex", "60"]) else { return };
        assert_eq!(set.trim(), "OK");
        assert_eq!(run(&["get", "hello"]).as_deref().map(str::trim), Some("world"));
        assert!(run(&["info", "seawall"]).is_some_and(|text| text.contains("shard")));
        assert!(run(&["config", "get", "maxmemory"]).is_some_and(|t| t.contains("100000000")));
        assert!(run(&["sw.tree"]).is_some_and(|text| text.contains("shard-0")));
        assert!(run(&["command", "docs", "get"]).is_some_and(|text| text.contains("summary")));
    }
}

#[test]
fn redis_cli_reads_commands_from_its_input_and_pipes_in_bulk() {
    let daemon = Daemon::start();
    let script = b"SET a 1\nINCR a\nGET a\nSELECT 2\nSET b 1\nDBSIZE\n";
    let Some(output) = redis_cli(&daemon, &[], script) else { return };
    let lines: Vec<&str> = output.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines, ["OK", "2", "2", "OK", "OK", "1"]);
    let mut bulk = Vec::new();
    for i in 0..20_000 {
        bulk.extend(encode(&["SET", &format!("bulk:{i}"), "v"]));
    }
    let output = redis_cli(&daemon, &["--pipe"], &bulk).unwrap_or_default();
    assert!(output.contains("errors: 0, replies: 20000"), "{output}");
    assert_eq!(daemon.connect().run("DBSIZE"), Reply::Int(20_001));
    let bigkeys = redis_cli(&daemon, &["--scan", "--pattern", "bulk:1999?"], b"");
    assert_eq!(bigkeys.map(|text| text.lines().count()), Some(10));
}

#[test]
fn redis_benchmark_runs_against_it() {
    let daemon = Setup::new().with("wal.enabled", "false").start();
    let port = daemon.resp().port().to_string();
    let output = Command::new("redis-benchmark")
        .args(["-p", &port, "-t", "ping,set,get,incr,mset", "-n", "2000", "-P", "8", "-q"])
        .output();
    match output {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success() && text.contains("GET:"), "{text}");
            assert!(!text.to_lowercase().contains("error"), "{text}");
        }
        Err(error) => missing("redis-benchmark", &error),
    }
}

#[test]
fn client_list_kill_and_pause_do_what_they_say() {
    let daemon = Daemon::start();
    let (mut client, mut other) = (daemon.connect(), daemon.connect());
    assert_eq!(other.run("CLIENT SETNAME victim"), Reply::ok());
    let id = other.run("CLIENT ID").int();
    let list = client.run("CLIENT LIST").text();
    let line = list.lines().find(|line| line.contains("name=victim")).expect("it is listed");
    assert!(line.starts_with(&format!("id={id} ")), "{line}");
    assert_eq!(client.run(&format!("CLIENT KILL ID {id}")), Reply::Int(1));
    assert!(other.is_closed());

    let mut other = daemon.connect();
    assert_eq!(client.run("CLIENT PAUSE 60000 WRITE"), Reply::ok());
    assert_eq!(other.run("GET k"), Reply::Nil);
    other.send(&["SET", "k", "v"]);
    for _ in 0..20 {
        assert_eq!(client.run("GET k"), Reply::Nil);
    }
    assert_eq!(client.run("CLIENT UNPAUSE"), Reply::ok());
    assert_eq!(other.receive(), Reply::ok());
    assert_eq!(client.run("CLIENT PAUSE 50"), Reply::ok());
    // It ends by itself.
    assert_eq!(other.run("GET k"), Reply::bulk("v"));
}

/// It took ten seconds for one that does not read, and a write that CLIENT PAUSE held back was
/// executed after its client had been killed.
#[test]
fn a_killed_client_goes_at_once_whatever_it_waits_for() {
    let daemon = Setup::new()
        .with("server.output_buffer", r#""4MB""#)
        .with("validation.max_value", r#""1MB""#)
        .start();
    let mut other = daemon.connect();
    let kill = |other: &mut Raw, id: i64| {
        assert_eq!(other.run(&format!("CLIENT KILL ID {id}")), Reply::Int(1));
        let begun = Instant::now();
        wait_until("it is gone", || other.run(&format!("CLIENT LIST ID {id}")).text().is_empty());
        assert!(begun.elapsed() < Duration::from_secs(5), "after {:?}", begun.elapsed());
    };
    let mut deaf = daemon.connect();
    let id = deaf.run("CLIENT ID").int();
    deaf.call(&["SET", "large", &"x".repeat(500_000)]);
    deaf.send_bytes("GET large\r\n".repeat(200));
    let shows = |other: &mut Raw, id: i64, nothing: &str| {
        let line = other.run(&format!("CLIENT LIST ID {id}")).text();
        assert!(line.contains("omem="), "it is there");
        line.contains(nothing)
    };
    wait_until("it is owed replies", || !shows(&mut other, id, " omem=0 "));
    kill(&mut other, id);
    let mut held = daemon.connect();
    let id = held.run("CLIENT ID").int();
    other.run("CLIENT PAUSE 60000 WRITE");
    held.send(&["SET", "k", "1"]);
    wait_until("it waits", || !shows(&mut other, id, " qbuf=0 "));
    kill(&mut other, id);
    other.run("CLIENT UNPAUSE");
    assert_eq!(other.run("GET k"), Reply::Nil);
}

#[test]
fn client_reply_turns_replies_off_and_on() {
    let daemon = Daemon::start();
    let mut client = daemon.connect();
    client.send_bytes("CLIENT REPLY OFF\r\nSET a 1\r\nNOSUCH\r\nCLIENT REPLY ON\r\n");
    assert_eq!(client.receive(), Reply::ok());
    client.send_bytes("CLIENT REPLY SKIP\r\nSET a 2\r\nGET a\r\n");
    assert_eq!(client.receive(), Reply::bulk("2"));
}

#[test]
fn every_command_of_the_table_is_documented_and_described() {
    let daemon = Daemon::start();
    let mut client = daemon.connect();
    let names: Vec<String> = client.run("COMMAND LIST").items().iter().map(Reply::text).collect();
    let count = client.run("COMMAND COUNT").int();
    let commands = names.iter().filter(|name| !name.contains('|')).count();
    assert_eq!(usize::try_from(count).ok(), Some(commands));
    let infos = client.call(
        &[&["COMMAND", "INFO"][..], &names.iter().map(String::as_str).collect::<Vec<_>>()].concat(),
    );
    assert!(infos.items().iter().all(|info| *info != Reply::Nil));
    let docs = client.run("COMMAND DOCS");
    assert_eq!(docs.items().len(), 2 * commands);
    for name in ["get", "set", "exec", "client", "config", "sw.tree", "sw.drill", "hset"] {
        assert!(names.iter().any(|n| n == name), "{name} is missing");
    }
}

#[test]
fn info_counts_what_happens() {
    let daemon = Setup::new().with("cache.sweep_interval", r#""5ms""#).start();
    let mut client = daemon.connect();
    let field = |client: &mut crate::support::Raw, name: &str| -> String {
        let info = client.run("INFO").text();
        let line = info.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
        line.unwrap_or_else(|| panic!("{name} is missing in\n{info}")).to_owned()
    };
    client.run("SET a 1");
    client.run("GET a");
    client.run("GET absent");
    client.run("SET gone 1 PX 1");
    wait_until("one expired", || field(&mut client, "expired_keys") == "1");
    assert_eq!(field(&mut client, "keyspace_hits"), "1");
    assert_eq!(field(&mut client, "keyspace_misses"), "1");
    assert!(field(&mut client, "redis_version").starts_with("7.4"));
    assert!(field(&mut client, "db0").starts_with("keys=1,"));
    assert!(field(&mut client, "used_memory").parse::<u64>().is_ok_and(|bytes| bytes > 0));
    assert_eq!(client.run("CONFIG RESETSTAT"), Reply::ok());
    assert_eq!(field(&mut client, "keyspace_hits"), "0");
}

#[test]
fn shutdown_stops_the_daemon_and_keeps_the_data() {
    let mut daemon = Daemon::start();
    let mut client = daemon.connect();
    client.run("SET k v");
    client.send(&["SHUTDOWN"]);
    assert_eq!(client.rest(), "");
    assert_eq!(daemon.wait_exit().code(), Some(0), "{}", daemon.log_text());
    daemon.restart();
    assert_eq!(daemon.connect().run("GET k"), Reply::bulk("v"));
}

/// CLIENT LIST said of an idle client that its last replies were still owed.
#[test]
fn an_idle_client_is_owed_nothing() {
    let daemon = Daemon::start();
    let (mut idle, mut looks) = (daemon.connect(), daemon.connect());
    idle.run("CLIENT SETNAME idle");
    idle.run("COMMAND DOCS");
    wait_until("nothing is owed", || {
        let list = looks.run("CLIENT LIST");
        list.text().lines().any(|line| line.contains("name=idle") && line.contains(" obl=0 "))
    });
}
