#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use super::*;
use crate::resp::args::Span;

const NOW: UnixMs = 1_700_000_000_000;

struct Script(Replay);

impl Script {
    fn new() -> Self {
        Self(Replay::new(NOW))
    }

    fn try_run(&mut self, line: &str) -> Result<(), Wrong> {
        let mut spans = Vec::new();
        let mut at = 0;
        for word in line.split(' ') {
            spans.push(Span { start: at, len: word.len() as u32 });
            at += word.len() as u32 + 1;
        }
        self.0.apply(&Args::new(line.as_bytes(), &spans))
    }

    fn run(&mut self, lines: &str) -> &mut Self {
        for line in lines.split("; ") {
            self.try_run(line).unwrap();
        }
        self
    }

    /// `db key=value@expiry`, sorted.
    fn found(&mut self) -> String {
        let mut found = Vec::new();
        self.0
            .each(|Entry { db, key, value, expires_at: at }| {
                let (key, value) = (key.escape_ascii(), value.escape_ascii());
                let at = at.map_or_else(String::new, |at| format!("@{at}"));
                found.push(format!("{db} {key}={value}{at}"));
                Ok::<_, ()>(())
            })
            .unwrap();
        found.sort();
        found.join(", ")
    }
}

#[track_caller]
fn leads_to(lines: &str, expected: &str) {
    assert_eq!(Script::new().run(lines).found(), expected, "{lines}");
}

#[test]
fn commands_lead_where_redis_would_be() {
    leads_to("SET a 1; INCR a; APPEND a 0; DECRBY a 5; SELECT 3; SET a x", "0 a=15, 3 a=x");
    leads_to("MSET a 1 b 2 c 3; DEL a; RENAME b d; COPY c e DB 2; MOVE d 1", "0 c=3, 1 d=2, 2 e=3");
    leads_to("SET a 1; SELECT 1; SET b 2; SWAPDB 0 1; SELECT 0; FLUSHDB; SET c 3", "0 c=3, 1 a=1");
    leads_to("SET a 1; SELECT 9; FLUSHALL; SET b 1", "9 b=1");
    leads_to(
        "SET a 1 PXAT 99; GETEX a PERSIST; SET b 2; GETDEL b; SETRANGE c 2 x",
        "0 a=1, 0 c=\\x00\\x00x",
    );
}

#[test]
fn nothing_expires_while_it_is_read() {
    leads_to("SET a 1 PXAT 5; INCR a; SET b 2; PEXPIREAT b 7; PERSIST b", "0 a=2@5, 0 b=2");
    let in_ten = format!("0 a=1@{0}, 0 b=2@{0}, 0 c=3@{0}, 0 d=4@{0}", NOW + 10_000);
    leads_to(
        "SETEX a 10 1; SET b 2 EX 10; SET c 3; PEXPIRE c 10000; SET d 4; GETEX d PX 10000",
        &in_ten,
    );
}

#[test]
fn a_transaction_counts_when_it_ends() {
    leads_to("MULTI; SET a 1; SELECT 2; SET b 2; EXEC; SET c 3", "0 a=1, 2 b=2, 2 c=3");
    let mut script = Script::new();
    script.run("SET a 1; MULTI; SET a 2; DEL a");
    script.0.end_file(true).unwrap();
    assert_eq!((script.found().as_str(), script.0.so_far().unfinished), ("0 a=1", 2));
    script.run("MULTI; SET a 2");
    assert!(script.0.end_file(false).is_err());
    assert!(script.try_run("EXEC").is_err());
    script.run("MULTI");
    assert!(script.try_run("MULTI").is_err());
}

#[test]
fn every_file_begins_in_database_0() {
    let mut script = Script::new();
    script.run("SELECT 5; SET a 1");
    script.0.begin_file();
    assert_eq!(script.run("SET b 2").found(), "0 b=2, 5 a=1");
}

#[test]
fn a_string_that_became_something_else_is_gone() {
    leads_to("SET a 1; SADD s x; SINTERSTORE a s s; SET b 2", "0 b=2");
    leads_to("SET a 1; RPUSH l x; RENAME l a", "");
    leads_to("SET a 1; SELECT 1; SET a 2; SELECT 0; RPUSH l x; COPY l a DB 1 REPLACE", "0 a=1");
    leads_to("SET a 1; SORT l ALPHA STORE a", "");
    leads_to("SET a 1; GEORADIUS g 0 0 1 km STORE a", "");
    // A list that is empty is no more, and the name is free.
    leads_to("RPUSH a x; LPOP a; INCR a", "0 a=1");
}

#[test]
fn a_value_that_is_not_known_is_left_out_until_it_is_written() {
    leads_to("SET a 1; SETBIT a 7 1; APPEND a x", "");
    leads_to("SETBIT a 7 1; APPEND a x; RENAME a b; APPEND b y; INCR c", "0 c=1");
    leads_to("SETBIT a 7 1; SET a 1; APPEND a x", "0 a=1x");
    leads_to("SETBIT a 7 1; DEL a; APPEND a x", "0 a=x");
    leads_to("SETBIT a 7 1; FLUSHDB; APPEND a x", "0 a=x");
    leads_to("SETBIT a 7 1; SWAPDB 0 1; APPEND a x; SELECT 1; APPEND a y", "0 a=x");
    leads_to("SETBIT a 7 1; MOVE a 1; APPEND a x; SELECT 1; APPEND a y", "0 a=x");
    leads_to("SETBIT a 7 1; COPY a b; APPEND b y; SET b 1; COPY b c", "0 b=1, 0 c=1");
    leads_to("SET a 1; SET b 2; BITOP AND a b b", "0 b=2");
    leads_to("SET a 1; SET b 2; EVAL script 1 a b", "0 b=2");
    leads_to("SET a 1; SET b 2; RESTORE a 0 payload REPLACE", "0 b=2");
    // Nobody knows which of its arguments are keys.
    leads_to("SET a 1; SET b 2; SET v 3; NEWCOMMAND a v; APPEND v x", "0 b=2");
}

#[test]
fn a_time_to_live_that_is_not_known_is_not_taken_for_none() {
    leads_to("SET a 1 PXAT 99; SETBIT a 7 1; SET a 2 KEEPTTL; SET a 3 XX; APPEND a x", "");
    leads_to("RPUSH l x; PEXPIREAT l 99; SET l 1 KEEPTTL", "");
    leads_to("RPUSH l x; PEXPIREAT l 99; SET l 1 KEEPTTL; SET l 2; APPEND l x", "0 l=2x");
    leads_to("RPUSH l x; PEXPIREAT l 99; RENAME l m; SET m 1 KEEPTTL; SET l 1 KEEPTTL", "0 l=1");
    leads_to("SET a 1 KEEPTTL; SET b 1 PXAT 99; SET b 2 KEEPTTL", "0 a=1, 0 b=2@99");
    let mut script = Script::new();
    script.0.load_other(0, b"l");
    assert_eq!(script.run("SET l 1 KEEPTTL; SET m 1").found(), "0 m=1");
}

#[test]
fn what_is_not_held_here_is_counted_by_name() {
    let mut script = Script::new();
    script.run("RPUSH l x; rpush l y; SETBIT b 1 1; WHAT x; PUBLISH c m; SET a 1; INCRBY a 4");
    let so_far = script.0.so_far();
    assert_eq!(so_far.applied, 2);
    let counted: Vec<_> = so_far.elsewhere.iter().map(|(name, n)| (name.as_str(), *n)).collect();
    assert_eq!(counted, [("publish", 1), ("rpush", 2), ("setbit", 1), ("what", 1)]);
}

#[test]
fn names_that_are_counted_are_bounded() {
    let mut script = Script::new();
    for i in 0..1000 {
        script.run(&format!("command-{i} x"));
    }
    let names = &script.0.so_far().elsewhere;
    assert_eq!((names.len(), names["others"]), (MAX_NAMES + 1, 800));
}

#[test]
fn a_few_bytes_make_no_value_of_gigabytes() {
    leads_to("SET a 1; SETRANGE a 4000000000 x; SETRANGE b 600000000 x; SET c 1", "0 c=1");
}

#[test]
fn what_redis_never_writes_is_refused() {
    for line in ["SELECT x", "SELECT 255", "SELECT -1", "SET a", "SWAPDB 0 256", "MOVE a b"] {
        assert!(Script::new().try_run(line).is_err(), "{line}");
    }
    let mut replay = Replay::new(NOW);
    assert!(replay.load(255, b"k", b"v", None).is_err());
    assert!(replay.load(254, b"k", b"v", None).is_ok());
}
