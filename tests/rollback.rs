//! SW.EXEC ROLLBACK: a transaction that fails never was, for nobody, and not after a crash either.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::support::raw::encode;
use crate::support::{Daemon, Raw, Reply, Setup, seed, setting, wait_until};

const ACCOUNTS: [&str; 6] = ["ant", "bee", "cat", "dog", "elk", "fox"];
/// What each account begins with.
const SHARE: i64 = 1000;
const CLERKS: u64 = 3;
const NOT_A_NUMBER: &str = "ERR value is not an integer or out of range";

fn sharded() -> Setup {
    Setup::new().with("cache.shards", "4")
}

fn exec(client: &mut Raw, lines: &[&str]) -> Reply {
    assert_eq!(client.run("MULTI"), Reply::ok());
    for line in lines {
        assert_eq!(client.run(line).text(), "QUEUED", "{line}");
    }
    client.run("SW.EXEC ROLLBACK")
}

#[test]
fn a_command_that_fails_undoes_all_and_is_named() {
    let mut daemon = sharded().with("wal.fsync", r#""always""#).start();
    let mut client = daemon.connect();
    client.run("MSET text abc n 5 gone 1 moved 2");
    assert_eq!(client.run("SET short life EX 3600"), Reply::ok());
    let expires_at = client.run("PEXPIRETIME short");
    let reply = exec(
        &mut client,
        &[
            "SELECT 3",
            "SET elsewhere 1",
            "SELECT 0",
            "INCR n",
            "DEL gone",
            "RENAME moved there",
            "APPEND text def",
            "PERSIST short",
            "SET new 1",
            "SELECT 5",
            "INCR n",
            "SELECT 0",
            "INCR text",
            "SET never 1",
        ],
    );
    let expected = format!(
        "EXECABORT Transaction rolled back, nothing was applied: command 13 'incr': {NOT_A_NUMBER}"
    );
    assert_eq!(reply, Reply::Error(expected));
    for restarted in [false, true] {
        if restarted {
            daemon.kill();
            daemon.restart();
            client = daemon.connect();
        }
        let values = ["abc", "5", "1", "2"].map(Reply::bulk);
        assert_eq!(client.run("MGET text n gone moved"), Reply::Array(values.to_vec()));
        assert_eq!(client.run("PEXPIRETIME short"), expires_at);
        assert_eq!(client.run("EXISTS new there never"), Reply::Int(0));
        assert_eq!(client.run("DBSIZE"), Reply::Int(5), "and database 0 is selected");
        client.run("SELECT 3");
        assert_eq!(client.run("DBSIZE"), Reply::Int(0));
        client.run("SELECT 0");
    }
}

#[test]
fn without_a_failure_or_without_rollback_it_is_exec() {
    let daemon = sharded().start();
    let mut client = daemon.connect();
    let reply = exec(&mut client, &["SET a 1", "INCR a", "ECHO hello"]);
    assert_eq!(reply, Reply::Array(vec![Reply::ok(), Reply::Int(2), Reply::bulk("hello")]));
    assert_eq!(exec(&mut client, &[]), Reply::Array(Vec::new()));
    client.run("SET text abc");
    client.run("MULTI");
    client.run("INCR text");
    client.run("SET b 1");
    let replies = [Reply::Error(NOT_A_NUMBER.into()), Reply::ok()];
    assert_eq!(client.run("SW.EXEC"), Reply::Array(replies.to_vec()));
    assert_eq!(client.run("SW.EXEC ROLLBACK").text(), "ERR EXEC without MULTI");
    client.run("MULTI");
    assert_eq!(client.run("SW.EXEC BACKWARDS").text(), "ERR syntax error");
    assert!(client.run("SW.EXEC ROLLBACK").text().starts_with("EXECABORT"));
}

#[test]
fn what_could_not_be_undone_is_refused_before_anything_runs() {
    let daemon = sharded().start();
    let mut client = daemon.connect();
    for line in ["FLUSHALL", "FLUSHDB", "SWAPDB 0 1", "CONFIG GET port", "CLIENT SETNAME x"] {
        let reply = exec(&mut client, &["SET a 1", line]).text();
        let name = line.split(' ').next().unwrap_or_default().to_lowercase();
        let expected = format!(
            "EXECABORT Transaction discarded, nothing was applied: command 2 '{name}' can not be \
             rolled back; run it outside, or use EXEC"
        );
        assert_eq!(reply, expected);
        assert_eq!(client.run("EXISTS a"), Reply::Int(0));
    }
}

#[test]
fn watches_see_what_was_kept_and_nothing_that_was_rolled_back() {
    let daemon = sharded().start();
    let (mut client, mut other) = (daemon.connect(), daemon.connect());
    client.run("MSET w 1 text abc");
    for (lines, changed) in [
        (&["SET w 2", "DEL w", "INCR text"][..], false),
        (&["SET w 2", "SET w 1"][..], true),
        (&["SET v 2"][..], false),
    ] {
        other.run("WATCH w");
        exec(&mut client, lines);
        other.run("MULTI");
        other.run("GET w");
        let expected = if changed { Reply::Nil } else { Reply::Array(vec![Reply::bulk("1")]) };
        assert_eq!(other.run("EXEC"), expected, "{lines:?}");
    }
    client.run("WATCH w");
    other.run("SET w 9");
    assert_eq!(exec(&mut client, &["SET w 10", "INCR text"]), Reply::Nil);
    assert_eq!(client.run("GET w"), Reply::bulk("9"));
}

#[test]
fn what_was_evicted_for_a_rolled_back_transaction_is_there_again() {
    let daemon = Setup::new().with("cache.shards", "1").with("cache.max_entries", "4").start();
    let mut client = daemon.connect();
    client.run("MSET a 1 b 2 c 3 text abc");
    let reply = exec(&mut client, &["MSET d 4 e 5 f 6 g 7 h 8", "SET text abc", "INCR text"]);
    assert!(reply.is_error(), "{reply:?}");
    let values = ["1", "2", "3", "abc"].map(Reply::bulk);
    assert_eq!(client.run("MGET a b c text"), Reply::Array(values.to_vec()));
    assert_eq!(client.run("DBSIZE"), Reply::Int(4));
    let info = client.run("INFO stats").text();
    assert!(info.contains("evicted_keys:0\r\n"), "{info}");
}

/// Moves money between accounts until the connection breaks or `over`. Every third transfer
/// fails, at any place in its transaction, and leaves a mark that nobody may ever see. Returns
/// the number of the last transfer that was acknowledged and of the last that was sent.
fn transfer(
    mut client: Raw,
    clerk: u64,
    first: u64,
    mut rng: SmallRng,
    over: &AtomicBool,
    done: &AtomicU64,
) -> (u64, u64) {
    let (mut acked, mut sent) = (first, first);
    while !over.load(Ordering::Relaxed) {
        let pair: Vec<_> = ACCOUNTS.choose_multiple(&mut rng, 2).collect();
        let amount = rng.random_range(1..50).to_string();
        let fails = rng.random_ratio(1, 3);
        let (mark, number) = if fails {
            (format!("mark:{clerk}"), "seen".to_owned())
        } else {
            sent += 1;
            (format!("last:{clerk}"), sent.to_string())
        };
        let mut commands = vec![
            vec!["DECRBY", pair[0], &amount],
            vec!["INCRBY", pair[1], &amount],
            vec!["SET", &mark, &number],
        ];
        if fails {
            commands.insert(rng.random_range(0..4), vec!["INCR", "text"]);
        }
        let mut batch = encode(&["MULTI"]);
        commands.iter().for_each(|words| batch.extend(encode(words)));
        batch.extend(encode(&["SW.EXEC", "ROLLBACK"]));
        if client.try_send(&batch).is_err() {
            break;
        }
        let replies: Result<Vec<_>, _> =
            (0..commands.len() + 2).map(|_| client.try_receive()).collect();
        let Some(reply) = replies.ok().and_then(|mut replies| replies.pop()) else { break };
        assert_eq!(reply.is_error(), fails, "{reply:?}");
        assert!(!fails || reply.text().contains("'incr'"), "{reply:?}");
        if !fails {
            acked = sent;
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
    (acked, sent)
}

fn sum(client: &mut Raw) -> i64 {
    let reply = client.call(&[&["MGET"][..], &ACCOUNTS[..]].concat());
    reply.items().iter().map(|n| n.text().parse::<i64>().expect("a number")).sum()
}

fn open_accounts(daemon: &Daemon) {
    let mut client = daemon.connect();
    for account in ACCOUNTS {
        assert_eq!(client.run(&format!("SET {account} {SHARE}")), Reply::ok());
    }
    client.run("SET text abc");
}

const TOTAL: i64 = SHARE * ACCOUNTS.len() as i64;

#[test]
fn transfers_that_roll_back_beside_others_keep_the_sum_at_every_moment() {
    let mut rng = SmallRng::seed_from_u64(seed());
    let rounds = setting("SEAWALL_ROUNDS", 300);
    let daemon = sharded().start();
    open_accounts(&daemon);
    let (over, done) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for clerk in 0..CLERKS {
            let (client, rng) = (daemon.connect(), SmallRng::seed_from_u64(rng.random()));
            let (over, done) = (&over, &done);
            scope.spawn(move || transfer(client, clerk, 0, rng, over, done));
        }
        let mut auditor = daemon.connect();
        while done.load(Ordering::Relaxed) < rounds * CLERKS {
            assert_eq!(sum(&mut auditor), TOTAL);
        }
        over.store(true, Ordering::Relaxed);
    });
    let mut client = daemon.connect();
    assert_eq!(sum(&mut client), TOTAL);
    assert_eq!(client.run("EXISTS mark:0 mark:1 mark:2"), Reply::Int(0));
}

/// `SEAWALL_KILL_ROUNDS` sets how often the daemon is killed in each fsync mode.
#[test]
fn after_a_kill_a_transaction_is_there_whole_or_not_at_all() {
    let mut rng = SmallRng::seed_from_u64(seed());
    let rounds = setting("SEAWALL_KILL_ROUNDS", 2);
    for fsync in ["always", "everysec", "no"] {
        let mut daemon = sharded().with("wal.fsync", &format!("{fsync:?}")).start();
        open_accounts(&daemon);
        let (over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut last = [0u64; CLERKS as usize];
        for round in 0..rounds {
            let before = done.load(Ordering::Relaxed);
            let clerks: Vec<_> = (0u64..)
                .zip(last)
                .map(|(clerk, first)| {
                    let (client, rng) = (daemon.connect(), SmallRng::seed_from_u64(rng.random()));
                    let (over, done) = (Arc::clone(&over), Arc::clone(&done));
                    std::thread::spawn(move || transfer(client, clerk, first, rng, &over, &done))
                })
                .collect();
            wait_until("the clerks are at work", || done.load(Ordering::Relaxed) > before + 100);
            std::thread::sleep(Duration::from_millis(rng.random_range(0..50)));
            daemon.kill();
            let known: Vec<_> = clerks.into_iter().map(|c| c.join().expect("ends well")).collect();
            daemon.restart();
            let mut client = daemon.connect();
            assert_eq!(sum(&mut client), TOTAL, "{fsync}, round {round}");
            assert_eq!(client.run("EXISTS mark:0 mark:1 mark:2"), Reply::Int(0), "{fsync}");
            for (clerk, ((acked, sent), last)) in known.into_iter().zip(&mut last).enumerate() {
                *last = match client.run(&format!("GET last:{clerk}")) {
                    Reply::Nil => 0,
                    reply => reply.text().parse().expect("a number"),
                };
                assert!((acked..=sent).contains(last), "{fsync}: {last}, not {acked}..={sent}");
            }
        }
        println!("{fsync}: {} transfers, {rounds} kills", done.load(Ordering::Relaxed));
    }
}
