//! Users: the same rules here and in a real Redis, changes while clients are connected, and what
//! nobody gets to see.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::support::redis::RedisServer;
use crate::support::{Daemon, Raw, Reply, Setup, seed, setting, wait_until};

const RULES: [&str; 46] = [
    "+@all",
    "+@read",
    "+@write",
    "+@string",
    "+@keyspace",
    "+@fast",
    "+@slow",
    "+@connection",
    "+@transaction",
    "+@admin",
    "+@dangerous",
    "+@pubsub",
    "-@all",
    "-@read",
    "-@write",
    "-@string",
    "-@keyspace",
    "-@fast",
    "-@slow",
    "-@connection",
    "-@admin",
    "-@dangerous",
    "+get",
    "+set",
    "+mset",
    "+config|get",
    "+client",
    "+client|id",
    "+acl|whoami",
    "-get",
    "-set",
    "-config",
    "-client|list",
    "~a*",
    "~b?",
    "~*",
    "resetkeys",
    "%R~c*",
    "%W~c*",
    "%RW~[d-f]",
    "%R~a:*",
    "&news:*",
    "&*",
    "resetchannels",
    "allkeys",
    "nocommands",
];

const COMMANDS: [&str; 61] = [
    "PUBLISH news:1 x",
    "PUBLISH x y",
    "SPUBLISH news:2 x",
    "GET",
    "GET a",
    "GET b1",
    "GET c",
    "GET d",
    "SET a 1",
    "SET c 1",
    "SET c 1 GET",
    "SET c2 1 KEEPTTL",
    "MSET a 1 c 2",
    "MSET a 1 b1 2",
    "MGET a b1",
    "MGET a c d",
    "INCR n",
    "INCR a",
    "APPEND c x",
    "STRLEN c",
    "GETRANGE c 0 1",
    "SETRANGE c 0 y",
    "GETDEL e",
    "GETEX f",
    "GETSET a 1",
    "DEL a c",
    "UNLINK b1",
    "EXISTS a b1",
    "EXISTS x",
    "TOUCH c",
    "TYPE c",
    "RENAME a b1",
    "RENAME c c2",
    "COPY c a REPLACE",
    "COPY a c REPLACE",
    "EXPIRE c 100",
    "TTL c",
    "PERSIST c",
    "OBJECT ENCODING c",
    "OBJECT HELP",
    "KEYS zz",
    "DBSIZE",
    "RANDOMKEY",
    "FLUSHDB",
    "SWAPDB 1 2",
    "MULTI",
    "EXEC",
    "DISCARD",
    "WATCH a",
    "UNWATCH",
    "PING",
    "ECHO x",
    "SELECT 0",
    "CLIENT ID",
    "CLIENT LIST",
    "CLIENT GETNAME",
    "CONFIG GET maxmemory",
    "CONFIG SET timeout 0",
    "ACL WHOAMI",
    "COMMAND COUNT",
    "MEMORY USAGE c",
];

/// Whatever the rules are, Redis and Seawall refuse the same commands with the same words.
#[test]
fn random_rules_refuse_what_redis_refuses() {
    let Some(redis) = RedisServer::start() else { return };
    let mut rng = SmallRng::seed_from_u64(seed());
    let count = setting("SEAWALL_USERS", 24);
    let (mut tables, mut users) = (String::new(), Vec::new());
    let mut operator = redis.connect();
    for n in 0..count {
        // Some rules are refused where they have no effect: then another lot is drawn.
        let name = format!("u{n}");
        let rules = loop {
            let length = rng.random_range(1..9);
            let rules: Vec<&str> =
                (0..length).filter_map(|_| RULES.choose(&mut rng).copied()).collect();
            let words: Vec<&str> = ["ACL", "SETUSER", &name, "reset", "on", "nopass"]
                .into_iter()
                .chain(rules.iter().copied())
                .collect();
            if operator.call(&words) == Reply::ok() {
                break rules.join(" ");
            }
        };
        tables += &format!("[[users]]\nname = {name:?}\nnopass = true\nrules = {rules:?}\n");
        users.push((name, rules));
    }
    let daemon = Setup::new().with_tables(&tables).start();
    let (mut refused, mut allowed) = (0, 0);
    for (name, rules) in users {
        let (mut ours, mut theirs) = (daemon.connect(), redis.connect());
        for connection in [&mut ours, &mut theirs] {
            assert_eq!(connection.call(&["AUTH", &name, "any"]), Reply::ok());
        }
        for _ in 0..80 {
            let command = COMMANDS.choose(&mut rng).copied().unwrap_or_default();
            let (here, there) = (ours.run(command), theirs.run(command));
            let denied = |reply: &Reply| reply.is_error() && reply.text().starts_with("NOPERM");
            if denied(&here) || denied(&there) {
                assert_eq!(here, there, "{rules}: {command}");
                refused += 1;
            } else {
                allowed += 1;
            }
        }
    }
    assert!(refused > count && allowed > count, "refused {refused}, allowed {allowed}");
}

/// Each command and subcommand that both know is in the same categories.
#[test]
fn categories_are_those_of_redis() {
    let Some(redis) = RedisServer::start() else { return };
    let daemon = Daemon::start();
    let (mut ours, mut theirs) = (daemon.connect(), redis.connect());
    let list = |connection: &mut Raw, line: &str| -> Vec<String> {
        let mut names: Vec<String> = connection.run(line).items().iter().map(Reply::text).collect();
        names.sort();
        names
    };
    let (here, there) = (list(&mut ours, "COMMAND LIST"), list(&mut theirs, "COMMAND LIST"));
    // Of some commands of a Redis tier the subcommands are not known here.
    let leads =
        |names: &[String], name: &str| names.iter().any(|n| n.starts_with(&format!("{name}|")));
    let both = |name: &String| {
        here.contains(name) && there.contains(name) && leads(&here, name) == leads(&there, name)
    };
    let categories = list(&mut theirs, "ACL CAT");
    assert_eq!(categories, list(&mut ours, "ACL CAT"));
    for category in categories {
        let line = format!("ACL CAT {category}");
        let mut members = [&mut ours, &mut theirs].map(|connection| list(connection, &line));
        members.iter_mut().for_each(|names| names.retain(both));
        let [here, there] = members;
        assert_eq!(here, there, "{category}");
    }
}

const ANN: &str = "[[users]]\nname = \"ann\"\npassword_file = \"ann\"\nrules = \"+@all ~a* &*\"\n";

fn ann(daemon: &Daemon) -> Raw {
    let mut client = daemon.connect();
    assert_eq!(client.run("AUTH ann sesame"), Reply::ok());
    client
}

#[test]
fn a_change_counts_for_those_who_are_connected() {
    let setup = Setup::new().with_tables(ANN);
    std::fs::write(setup.dir().join("ann"), "sesame\n").expect("the test's folder");
    let mut daemon = setup.start();
    let (mut client, mut multi, mut idle) = (ann(&daemon), ann(&daemon), ann(&daemon));
    assert_eq!(client.run("SET a 1"), Reply::ok());
    assert_eq!(client.run("SET b 1").text(), KEY);
    multi.run("MULTI");
    multi.run("SET a 2");
    multi.run("GET a");
    daemon.configure_tables(&ANN.replace("+@all", "+@all -set"));
    wait_until("the rule counts", || client.run("SET a 1").is_error());
    assert_eq!(client.run("GET a").text(), "1");
    let replies = multi.run("EXEC");
    assert!(replies.items()[0].text().starts_with("NOPERM ACLs rules changed between"));
    assert_eq!(replies.items()[1].text(), "1", "the others ran");

    // Another password leaves those who are in.
    std::fs::write(daemon.dir().join("ann"), "open\n").expect("the test's folder");
    wait_until("the new password counts", || daemon.connect().run("AUTH ann open") == Reply::ok());
    assert_eq!(client.run("ACL WHOAMI").text(), "ann");

    let mut listener = daemon.connect();
    listener.run("AUTH ann open");
    listener.run("SUBSCRIBE news");
    daemon.configure_tables(&ANN.replace("&*", "&news"));
    assert!(listener.is_closed(), "it may listen to what its user may not any more");

    daemon.configure_tables("");
    assert!(idle.is_closed(), "its user is gone");
    assert!(client.try_run("PING").is_err());
    assert!(daemon.connect().run("AUTH ann open").is_error());
}

const KEY: &str = "NOPERM this user has no permissions to access one of the keys used as arguments";

#[test]
fn a_command_that_is_denied_ends_the_transaction_it_was_for() {
    let setup = Setup::new().with_tables(ANN);
    std::fs::write(setup.dir().join("ann"), "sesame\n").expect("the test's folder");
    let daemon = setup.start();
    let mut client = ann(&daemon);
    client.run("MULTI");
    assert_eq!(client.run("SET b 1").text(), KEY);
    assert!(client.run("EXEC").text().starts_with("EXECABORT "));
    let log = daemon.connect().run("ACL LOG");
    let entry: Vec<String> = log.items()[0].items()[2..10].iter().map(Reply::text).collect();
    assert_eq!(entry, ["reason", "key", "context", "multi", "object", "b", "username", "ann"]);
}

#[test]
fn the_default_user_may_be_restricted_or_off() {
    let row = "[[users]]\nname = \"default\"\n";
    let daemon = Setup::new().with_tables(&format!("{row}rules = \"+get +auth ~pub:*\"\n")).start();
    let mut client = daemon.connect();
    assert!(!client.run("GET pub:1").is_error());
    assert!(client.run("SET pub:1 x").text().starts_with("NOPERM "));
    let daemon = Setup::new().with_tables(&format!("{row}enabled = false\n{ANN}"));
    std::fs::write(daemon.dir().join("ann"), "sesame").expect("the test's folder");
    let daemon = daemon.start();
    let mut client = daemon.connect();
    assert_eq!(client.run("PING").text(), "NOAUTH Authentication required.");
    assert!(client.run("AUTH default x").is_error());
    assert_eq!(client.run("AUTH ann sesame"), Reply::ok());
}

#[test]
fn passwords_are_shown_nowhere_and_the_log_tells_who_wrote() {
    let setup = Setup::new().with_tables(ANN).with("log.level", r#""trace""#);
    std::fs::write(setup.dir().join("ann"), "sesame\n").expect("the test's folder");
    let mut daemon = setup.start();
    let mut client = ann(&daemon);
    client.run("SET a 1");
    assert!(client.run("AUTH ann guess-1").is_error());
    assert!(client.run("AUTH guess-2 x").is_error());
    let told = client.run("SW.HISTORY a");
    let text = format!("{told:?}");
    assert!(text.contains("ann"), "{text}");
    let hash = "d0c04f4b1951e4aeaaec8223ed2039e542f3aae805a6fa7f6d794e5afff5d272";
    let mut operator = daemon.connect();
    let mut seen = String::new();
    for line in [
        "CONFIG GET *",
        "CLIENT LIST",
        "INFO",
        "ACL LIST",
        "ACL GETUSER ann",
        "SLOWLOG GET",
        "SW.TREE",
    ] {
        seen += &format!("{:?}", operator.run(line));
    }
    assert!(operator.run("CLIENT LIST").text().contains(" user=ann "));
    assert_eq!(operator.run("CLIENT KILL USER ann"), Reply::Int(1));
    daemon.stop();
    seen += &daemon.log_text();
    for secret in ["sesame", hash, "guess-1", "guess-2"] {
        assert!(!seen.contains(secret), "{secret} is shown");
    }
}
