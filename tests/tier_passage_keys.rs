//! Which keys a command names that Redis runs, and what rules refuse of it, without running it: as a real
//! Redis finds them, and refuses it.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::support::redis::RedisServer;
use crate::support::{Daemon, Raw, Reply, Setup, seed, setting};
use crate::tier_passage::lines;
use crate::tier_passage_users::{is_later, is_script};

/// Forms in which it is easy to take something else for a key, or a key for something else.
const TRICKY: [&str; 32] = [
    "SORT l STORE d",
    "SORT l BY store GET x",
    "SORT l LIMIT store 1 STORE d STORE e",
    "SORT l STORE",
    "SORT l by w_* get # DESC store d",
    "SORT_RO l ALPHA",
    "GEORADIUS g 1 2 3 m STORE d STOREDIST e",
    "GEORADIUSBYMEMBER g STORE 3 m ASC STOREDIST d",
    "GEORADIUS g 1 2 3 m",
    "XREAD COUNT 1 BLOCK 5 STREAMS a b 0 0",
    "XREAD STREAMS a b 0",
    "XREAD COUNT 1 BLOCK 5",
    "XREADGROUP GROUP streams c STREAMS a >",
    "XREADGROUP GROUP g c NOACK COUNT 1 STREAMS a b > >",
    "XGROUP CREATE a g $ MKSTREAM",
    "XGROUP HELP",
    "XINFO STREAM a FULL",
    "LMPOP 2 a b LEFT COUNT 1",
    "LMPOP 9 a LEFT",
    "LMPOP x a LEFT",
    "BLMPOP 0 1 a LEFT",
    "ZMPOP 1 a MIN",
    "BZMPOP 0 2 a b MAX",
    "ZUNIONSTORE d 2 a b WEIGHTS 1 2",
    "SINTERCARD 2 a b LIMIT 1",
    "BITFIELD a GET u4 0 GET u4 1",
    "BITFIELD a OVERFLOW SAT INCRBY u4 0 1",
    "EVAL x 2 a b c",
    "EVAL x 0",
    "FCALL_RO f 1 a b",
    "SCRIPT LOAD x",
    "FUNCTION LIST",
];

/// Each key with whether it is read and written, or the error.
fn keys(connection: &mut Raw, line: &str) -> (Reply, Vec<(String, bool, bool)>) {
    let reply = connection.run(&format!("COMMAND GETKEYSANDFLAGS {line}"));
    if reply.is_error() {
        return (reply, Vec::new());
    }
    let key = |pair: &Reply| {
        let flags: Vec<String> = pair.items()[1].items().iter().map(Reply::text).collect();
        let has = |flag: &str| flags.iter().any(|known| known == flag);
        let writes = has("insert") || has("update") || has("delete");
        (pair.items()[0].text(), has("access"), writes)
    };
    let found = reply.items().iter().map(key).collect();
    (Reply::Nil, found)
}

#[test]
fn the_keys_of_a_passed_command_are_where_redis_finds_them() {
    let Some(redis) = RedisServer::start() else { return };
    let daemon = Daemon::start();
    let (mut ours, mut theirs) = (daemon.connect(), redis.connect());
    let (mut compared, mut wrong) = (0, Vec::new());
    for line in lines().chain(TRICKY) {
        let there = keys(&mut theirs, line);
        if is_later(&there.0) {
            continue;
        }
        let here = keys(&mut ours, line);
        if here != there {
            wrong.push(format!("{line}: {here:?} and not {there:?}"));
        }
        compared += 1;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(compared > 300, "{compared}");
}

const RULES: [&str; 36] = [
    "+@all",
    "+@all",
    "+@read",
    "+@write",
    "+@hash",
    "+@list",
    "+@set",
    "+@sortedset",
    "+@stream",
    "+@geo",
    "+@bitmap",
    "+@hyperloglog",
    "+@scripting",
    "+@blocking",
    "+@slow",
    "-@all",
    "-@write",
    "-@stream",
    "-@dangerous",
    "-@slow",
    "+xgroup|create",
    "+script|load",
    "+xinfo",
    "-xgroup",
    "-zadd",
    "~*",
    "~z*",
    "~h",
    "~[a-l]",
    "%R~*",
    "%R~x",
    "%R~nothing",
    "%W~d",
    "%W~l",
    "%RW~s",
    "resetkeys",
];

/// What a user lacks for a command, in a word.
fn lacks(reply: &Reply) -> &'static str {
    let text = reply.text();
    match () {
        () if *reply == Reply::ok() => "",
        () if text.contains("no permissions to run the") => "command",
        () if text.contains("no permissions to access") => "key",
        () => panic!("{text}"),
    }
}

/// Whatever the rules are, what Redis runs is refused to the same users as by Redis itself. Scripts,
/// and the patterns of SORT, are beyond what can be asked without running them.
#[test]
fn random_rules_refuse_the_same_of_what_redis_runs() {
    let Some(redis) = RedisServer::start() else { return };
    let mut rng = SmallRng::seed_from_u64(seed());
    let (mut operator, mut tables) = (redis.connect(), String::new());
    let users: Vec<(String, String)> = (0..setting("SEAWALL_USERS", 24))
        .map(|n| {
            let name = format!("u{n}");
            // Some rules are refused where they have no effect: then another lot is drawn.
            let rules = loop {
                // One may do much, so that much is allowed in any case.
                let length = if n == 0 { 0 } else { rng.random_range(2..9) };
                let drawn = (0..length).filter_map(|_| RULES.choose(&mut rng).copied());
                let much = ["+@all", "%R~*", "%W~[a-s]*"].into_iter().filter(|_| n == 0);
                let rules: Vec<&str> = much.chain(drawn).collect();
                let mut words = vec!["ACL", "SETUSER", &name, "reset", "on", "nopass"];
                words.extend(&rules);
                if operator.call(&words) == Reply::ok() {
                    break rules.join(" ");
                }
            };
            tables += &format!("[[users]]\nname = {name:?}\nnopass = true\nrules = {rules:?}\n");
            (name, rules)
        })
        .collect();
    let daemon = Setup::new().with_tables(&tables).start();
    let mut ours = daemon.connect();
    let known = |line: &&str| {
        let line = line.to_uppercase();
        let reads_others =
            line.starts_with("SORT") && (line.contains(" BY ") || line.contains(" GET "));
        // A subcommand that there is not is refused first by Redis.
        let is_none = line.contains("NONSENSE");
        let beyond = is_script(&line) || reads_others || is_none;
        !beyond
    };
    let (mut refused, mut allowed) = (0, 0);
    for line in lines().chain(TRICKY).filter(known) {
        for (name, rules) in &users {
            let asked = format!("ACL DRYRUN {name} {line}");
            let there = operator.run(&asked);
            if is_later(&there) {
                break;
            }
            let (there, here) = (lacks(&there), lacks(&ours.run(&asked)));
            assert_eq!(here, there, "{rules}: {line}");
            *(if here.is_empty() { &mut allowed } else { &mut refused }) += 1;
        }
    }
    assert!(refused > 100 && allowed > 100, "refused {refused}, allowed {allowed}");
}
