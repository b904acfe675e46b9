//! Users and the commands that Redis runs: who may not have everything gets the answers that he would get
//! from Redis itself, and what is not for clients is not passed on.

use std::collections::BTreeSet;

use super::support::Reply;
use super::support::redis::RedisServer;
use super::support::redis::behind::Behind;
use super::support::tier::Tier;
use super::tier_passage::{TAG, lines_for, passed};

pub fn is_script(line: &str) -> bool {
    line.to_uppercase().starts_with("EVAL") || line.to_uppercase().starts_with("FCALL")
}

/// A command, or a form of it, that this version of Redis does not have.
pub fn is_later(reply: &Reply) -> bool {
    let told = ["Invalid command", "unknown command", "not found", "number of arguments"];
    reply.is_error() && told.iter().any(|told| reply.text().contains(told))
}

/// A user of some keys gets the answers that Redis gives to the same user, refusals and all.
fn compare_as_user(rules: &str) {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let Some(other) = RedisServer::alone() else { return };
    let rules = match RedisServer::SERVERS {
        1 => rules.to_owned(),
        _ => rules.replace('~', &format!("~{TAG}")),
    };
    let table = format!("[[users]]\nname = \"app\"\nnopass = true\nrules = {rules:?}\n");
    let tier = Tier::before(redis, |setup, proxy| {
        setup
            .with("redis.url", &format!(r#""redis://{}""#, proxy.address()))
            .with("redis.timeout", r#""20s""#)
            .with("redis.connect_timeout", r#""10s""#)
            .with_tables(&table)
    });
    let made = other.connect().run(&format!("ACL SETUSER app reset on nopass {rules}"));
    assert_eq!(made, Reply::ok());
    let (mut through, mut direct) = (tier.daemon.connect(), other.connect());
    for connection in [&mut through, &mut direct] {
        assert_eq!(connection.run("AUTH app x"), Reply::ok());
    }
    let (mut refused, mut allowed) = (0, 0);
    let lines = lines_for(&other);
    for line in lines.iter().filter(|line| !line.contains("NONSENSE")) {
        let got = through.run(line);
        if is_script(line) {
            // Nobody can hold a script to these keys.
            assert!(got.text().starts_with("NOPERM"), "{line}: {got:?}");
            continue;
        }
        let want = direct.run(line);
        if is_later(&want) {
            continue;
        }
        let denied = |reply: &Reply| {
            let text = if reply.is_error() { reply.text() } else { String::new() };
            // Redis' words for the patterns of SORT.
            text.starts_with("NOPERM") || text.contains("insufficient ACL permissions")
        };
        match (denied(&want), denied(&got)) {
            (true, true) => refused += 1,
            _ => {
                assert_eq!(got, want, "{rules}: {line}");
                allowed += 1;
            }
        }
    }
    assert!(refused > 30 && allowed > 30, "refused {refused}, allowed {allowed}");
}

#[test]
fn a_user_of_some_keys_reaches_no_others_through_redis() {
    compare_as_user("+@all -@dangerous ~h ~l ~m ~s* ~nothing %R~z* %W~zu ~x");
}

#[test]
fn a_user_who_may_read_writes_nothing_through_redis() {
    compare_as_user("+@all %R~[a-m]* %W~[n-z]* ~nothing ~x ~t ~l");
}

#[test]
fn what_is_for_the_operators_of_redis_is_not_passed_on() {
    let Some(tier) = Tier::patient(&[]) else { return };
    let (mut client, mut redis) = (tier.daemon.connect(), tier.redis.connect());
    let passed = passed(&mut client);
    let mut operators = BTreeSet::new();
    for category in ["dangerous", "admin"] {
        let members = redis.run(&format!("ACL CAT {category}"));
        operators.extend(members.items().iter().map(Reply::text));
    }
    // These work on the data alone, and a user may be refused them as in Redis.
    let both: Vec<&str> = passed.intersection(&operators).map(String::as_str).collect();
    assert_eq!(both, ["pfdebug", "restore", "sort", "sort_ro"]);
    for line in ["MIGRATE h 1 k 0 5", "RESTORE-ASKING k 0 x", "PFSELFTEST"] {
        let error = client.run(line).text();
        assert!(error.contains("not passed on"), "{line}: {error}");
    }
    // The debugger would take over a connection that the next client gets.
    assert!(client.run("SCRIPT DEBUG YES").text().contains("not passed on"));
    client.run("MULTI");
    assert!(client.run("SCRIPT DEBUG YES").text().contains("not passed on"));
    assert!(client.run("EXEC").text().starts_with("EXECABORT"));
    assert_eq!(client.run("EVAL return{KEYS[1]} 1 k"), Reply::Array([Reply::bulk("k")].into()));
}
