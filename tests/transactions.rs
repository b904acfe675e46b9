//! MULTI, EXEC, WATCH, and commands over several shards, as other clients see them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Daemon, Raw, Reply, Setup, setting};

fn sharded() -> Daemon {
    Setup::new().with("cache.shards", "4").start()
}

fn queue(client: &mut Raw, lines: &[&str]) {
    assert_eq!(client.run("MULTI"), Reply::ok());
    for line in lines {
        assert_eq!(client.run(line).text(), "QUEUED", "{line}");
    }
}

#[test]
fn exec_over_several_shards_is_one_step_for_everybody_else() {
    let daemon = sharded();
    let rounds = setting("SEAWALL_ROUNDS", 300);
    let keys = ["a", "b", "c", "d", "e", "f"];
    let over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (mut client, over) = (daemon.connect(), Arc::clone(&over));
            std::thread::spawn(move || {
                let mut seen = 0;
                while !over.load(Ordering::Relaxed) {
                    let reply = client.run("MGET a b c d e f");
                    let first = &reply.items()[0];
                    assert!(reply.items().iter().all(|v| v == first), "half a write: {reply:?}");
                    seen += 1;
                }
                seen
            })
        })
        .collect();
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let mut client = daemon.connect();
            scope.spawn(move || {
                for n in 0..rounds {
                    let value = format!("{writer}:{n}");
                    if n % 2 == 0 {
                        let lines = keys.map(|key| format!("SET {key} {value}"));
                        queue(&mut client, &lines.each_ref().map(String::as_str));
                        assert_eq!(client.run("EXEC").items().len(), keys.len());
                    } else {
                        let pairs = keys.map(|key| format!("{key} {value}")).join(" ");
                        assert_eq!(client.run(&format!("MSET {pairs}")), Reply::ok());
                    }
                }
            });
        }
    });
    over.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.join().expect("no half a write") > 10);
    }
}

#[test]
fn counters_under_watch_lose_no_update() {
    let daemon = sharded();
    let (workers, rounds) = (4, 50);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let mut client = daemon.connect();
            scope.spawn(move || {
                for _ in 0..rounds {
                    loop {
                        assert_eq!(client.run("WATCH n m"), Reply::ok());
                        let n = match client.run("GET n") {
                            Reply::Nil => 0,
                            reply => reply.text().parse::<u64>().expect("a number"),
                        };
                        let next = n + 1;
                        queue(&mut client, &[&format!("SET n {next}"), &format!("SET m {next}")]);
                        if client.run("EXEC") != Reply::Nil {
                            break;
                        }
                    }
                }
            });
        }
    });
    let total = (workers * rounds).to_string();
    let both = [Reply::bulk(&total), Reply::bulk(&total)];
    assert_eq!(daemon.connect().run("MGET n m"), Reply::Array(both.to_vec()));
}

#[test]
fn a_queued_mistake_discards_the_transaction() {
    let daemon = sharded();
    let mut client = daemon.connect();
    queue(&mut client, &["SET a 1"]);
    assert!(client.run("NOSUCH").is_error());
    let aborted = "EXECABORT Transaction discarded because of previous errors.";
    assert_eq!(client.run("EXEC").text(), aborted);
    assert_eq!(client.run("GET a"), Reply::Nil);
}

#[test]
fn an_exec_with_arguments_ends_the_transaction() {
    let daemon = sharded();
    let mut client = daemon.connect();
    let arity = "wrong number of arguments for 'exec' command";
    let aborted = format!("EXECABORT Transaction discarded because of: {arity}");
    assert_eq!(client.run("EXEC now").text(), aborted, "as in Redis, also if there is none");
    client.run("WATCH w");
    queue(&mut client, &["SET a 1"]);
    assert_eq!(client.run("EXEC now").text(), aborted);
    assert_eq!(client.run("EXEC").text(), "ERR EXEC without MULTI");
    assert_eq!(client.run("GET a"), Reply::Nil);
    // The watch has ended with it.
    daemon.connect().run("SET w 1");
    queue(&mut client, &["SET a 1"]);
    assert_eq!(client.run("EXEC"), Reply::Array(vec![Reply::ok()]));
}

#[test]
fn a_command_that_fails_in_exec_leaves_the_others_in_force() {
    let daemon = sharded();
    let mut client = daemon.connect();
    client.run("SET text abc");
    queue(&mut client, &["SET a 1", "INCR text", "SET b 2"]);
    let reply = client.run("EXEC");
    let error = "ERR value is not an integer or out of range";
    assert_eq!(reply.items()[1], Reply::Error(error.into()));
    let both = [Reply::bulk("1"), Reply::bulk("2")];
    assert_eq!(client.run("MGET a b"), Reply::Array(both.to_vec()));
}

#[test]
fn watch_sees_changes_flushes_swaps_and_expiries_by_others() {
    let daemon = sharded();
    let (mut client, mut other) = (daemon.connect(), daemon.connect());
    for change in ["SET w 2", "DEL w", "FLUSHALL", "SWAPDB 0 1", "RENAME w v", "PEXPIREAT w 1"] {
        other.run("FLUSHALL");
        client.run("SET w 1");
        client.run("WATCH w");
        assert!(!other.run(change).is_error(), "{change}");
        queue(&mut client, &["SET result 1"]);
        assert_eq!(client.run("EXEC"), Reply::Nil, "{change}");
        other.run("FLUSHALL");
    }
    client.run("WATCH w");
    client.run("UNWATCH");
    other.run("SET w 3");
    queue(&mut client, &["SET result 1"]);
    assert_eq!(client.run("EXEC"), Reply::Array(vec![Reply::ok()]));
}

#[test]
fn a_client_that_leaves_in_multi_changes_nothing() {
    let daemon = sharded();
    let mut client = daemon.connect();
    queue(&mut client, &["SET a 1", "SET b 2"]);
    drop(client);
    let mut client = daemon.connect();
    assert_eq!(client.run("EXISTS a b"), Reply::Int(0));
    assert_eq!(client.run("EXEC").text(), "ERR EXEC without MULTI");
    assert_eq!(client.run("DISCARD").text(), "ERR DISCARD without MULTI");
    client.run("MULTI");
    assert_eq!(client.run("MULTI").text(), "ERR MULTI calls can not be nested");
    assert_eq!(client.run("WATCH a").text(), "ERR WATCH inside MULTI is not allowed");
    assert_eq!(client.run("DISCARD"), Reply::ok());
}

#[test]
fn a_wrong_subcommand_is_found_when_it_is_queued() {
    let daemon = sharded();
    let mut client = daemon.connect();
    for line in ["OBJECT REFCOUNT", "OBJECT NOSUCH a", "CONFIG GET"] {
        queue(&mut client, &["SET a 1"]);
        assert!(client.run(line).is_error(), "{line}");
        assert!(client.run("EXEC").text().starts_with("EXECABORT"), "{line}");
    }
    // These families may also be called without a subcommand.
    queue(&mut client, &["COMMAND COUNT", "OBJECT HELP"]);
    assert_eq!(client.run("EXEC").items().len(), 2);
}

/// SHUTDOWN inside MULTI ended the daemon at once; HELLO and AUTH ran out of order.
#[test]
fn what_cannot_be_queued_is_refused_and_spoils_the_transaction() {
    let daemon = sharded();
    let mut client = daemon.connect();
    for line in ["SHUTDOWN NOSAVE", "HELLO 3", "AUTH x"] {
        queue(&mut client, &["SET a 1"]);
        assert_eq!(client.run(line).text(), "ERR Command not allowed inside a transaction");
        assert!(client.run("EXEC").text().starts_with("EXECABORT"), "{line}");
    }
    assert_eq!(client.run("PING").text(), "PONG");
}
