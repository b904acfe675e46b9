//! Layers, their order, and what is said about mistakes.

use super::super::problem::Source;
use super::super::settings::{Eviction, Fsync};
use super::*;

#[test]
fn without_anything_the_defaults_hold() {
    let s = defaults().settings;
    assert_eq!(s.server.bind.first().map(ToString::to_string).as_deref(), Some("127.0.0.1:6380"));
    assert_eq!(s.cache.max_entries, Some(100_000));
    assert_eq!(s.cache.max_memory, Some(100_000_000));
    assert_eq!(s.cache.shards, 3, "auto: a core is left for the log");
    assert_eq!(s.cache.eviction, Eviction::Lru);
    assert_eq!(s.wal.fsync, Fsync::EverySec);
    assert_eq!(s.server.idle_timeout, None);
    assert_eq!(s.server.password, None);
    assert!(s.warnings().is_empty());
}

#[test]
fn later_layers_win_and_each_value_knows_its_source() {
    let text = "[cache]\nmax_entries = 100\nmax_memory = \"1MB\"\nshards = 2\n\
                [profiles.big.cache]\nmax_memory = \"2GB\"\nshards = 8\n";
    let pairs = [("SEAWALL_PROFILE", "big"), ("SEAWALL__CACHE__SHARDS", "16"), ("HOME", "/")];
    let loaded = load(text, &pairs).expect("valid");
    assert_eq!(loaded.settings.cache.max_entries, Some(100));
    assert_eq!(loaded.settings.cache.max_memory, Some(2_000_000_000));
    assert_eq!(loaded.settings.cache.shards, 16);
    assert_eq!(loaded.profile.as_deref(), Some("big"));
    assert!(matches!(loaded.origins["cache.max_entries"], Source::File(_, Some(2))));
    assert!(
        matches!(&loaded.origins["cache.max_memory"], Source::Profile(_, n, Some(6)) if n == "big")
    );
    assert_eq!(loaded.origins["cache.shards"], Source::Env("SEAWALL__CACHE__SHARDS".to_owned()));
    assert_eq!(loaded.origins["wal.fsync"], Source::Default);
}

#[test]
fn all_problems_come_at_once_with_file_line_and_key() {
    let text =
        "[cache]\nmax_memry = \"1MB\"\nshards = 0\neviction = \"fifo\"\n\n[wall]\nfsync = 1\n";
    let pairs = [("SEAWALL__WAL__FSYNK", "no"), ("SEAWALL__SERVER__DATABASES", "many")];
    assert_eq!(
        problems(load(text, &pairs)),
        [
            "seawall.toml:2: cache.max_memry: unknown key; did you mean cache.max_memory?",
            "seawall.toml:3: cache.shards: 0 is out of range: it must be \"auto\", or 1 to 256",
            "seawall.toml:4: cache.eviction: \"fifo\" is not one of \"lru\", \"noeviction\"; write \
             for example \"lru\"",
            "seawall.toml:6: wall: unknown section; did you mean [wal]?",
            "environment variable SEAWALL__WAL__FSYNK: unknown key; did you mean \
             SEAWALL__WAL__FSYNC?",
            "environment variable SEAWALL__SERVER__DATABASES: server.databases: \"many\" is not a \
             whole number; write for example 16",
        ]
    );
}

#[test]
fn wrong_types_are_said_in_plain_words() {
    for (line, expected) in [
        ("[cache]\nparanoia = 1", "1 is not true or false; write for example true"),
        ("[server]\ndatabases = \"16\"", "\"16\" is not a whole number; write for example 16"),
        ("[server]\ndatabases = 1.5", "1.5 is not a whole number; write for example 16"),
        ("[server]\nidle_timeout = 30", "30 is not a duration; write for example \"30s\""),
        ("[server]\nidle_timeout = \"30\"", "\"30\" is not a duration; write for example \"30s\""),
        (
            "[cache]\nmax_memory = \"10 parsecs\"",
            "\"10 parsecs\" is not a size or a percentage; write for example \"100MB\" or \"60%\"",
        ),
        (
            "[server]\nbind = \"*\"",
            "\"*\" is not an address (the port is missing); write for example [\"127.0.0.1:6380\"]",
        ),
        (
            "[server]\nbind = [1]",
            "a list is not a list of addresses; write for example [\"127.0.0.1:6380\"]",
        ),
        ("[server]\ndatabases = 1979-05-27", "a date is not a whole number"),
        ("[cache.max_memory]\nx = 1", "a table is not a size or a percentage"),
        (
            "[server]\nrequirepass = 1234",
            "a number is not a password; write for example \"a long random text\"",
        ),
        ("[server]\nbind = [\"a:1\", \"a:1\"]", "names a:1 twice"),
        ("[data]\ndir = \"\"", "\"\" is not a path; write for example \"/var/lib/seawall\""),
        ("cache = 1", "is a section; write [cache]"),
        ("max_memory = \"1MB\"", "unknown key; did you mean cache.max_memory?"),
    ] {
        let found = problems(load(line, &[]));
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        assert!(found[0].ends_with(expected), "{line}: {found:?}");
    }
}

#[test]
fn a_profile_that_is_not_chosen_is_checked_as_well() {
    let text = "[profiles.night.wal]\nfsnc = \"no\"\n";
    assert_eq!(
        problems(load(text, &[])),
        ["seawall.toml:2 (profile night): wal.fsnc: unknown key; did you mean wal.fsync?"]
    );
}

#[test]
fn a_wrong_value_is_found_where_a_later_layer_hides_it() {
    let text = "[wal]\nfsync = 1\n[profiles.a.wal]\nfsync = \"no\"\n[profiles.b.wal]\nfsync = 2\n";
    let pairs = [("SEAWALL_PROFILE", "a"), ("SEAWALL__WAL__FSYNC", "always")];
    let found = problems(load(text, &pairs));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("seawall.toml:2: wal.fsync: 1 is not one of"), "{found:?}");
    assert!(found[1].starts_with("seawall.toml:6 (profile b): wal.fsync: 2"), "{found:?}");
}

#[test]
fn an_unknown_profile_lists_those_that_there_are() {
    let text = "[profiles.a.wal]\n[profiles.b.wal]\n";
    let found = problems(load(text, &[("SEAWALL_PROFILE", "c")]));
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains("no profile \"c\"") && found[0].ends_with("it has: a, b"),
        "{found:?}"
    );
    assert!(load(text, &[("SEAWALL_PROFILE", "")]).is_ok());
}

#[test]
fn the_environment_is_taken_as_text() {
    let pairs = [
        ("SEAWALL__SERVER__REQUIREPASS", "0123"),
        ("SEAWALL__SERVER__BIND", "127.0.0.1:1, [::1]:2"),
        ("SEAWALL__CACHE__PARANOIA", "yes"),
        ("SEAWALL__WAL__RETENTION", "1h 30m"),
    ];
    let s = load("", &pairs).expect("valid").settings;
    assert_eq!(s.server.password.as_ref().map(|p| p.expose()), Some("0123"));
    assert_eq!(s.server.bind.len(), 2);
    assert!(s.cache.paranoia);
    assert_eq!(s.wal.retention.as_secs(), 5400);
}

#[test]
fn a_file_that_is_not_toml_names_the_line() {
    let found = problems(load("[cache]\nshards = = 2\n", &[("SEAWALL_PROFILE", "x")]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("seawall.toml:2: not TOML"), "{found:?}");
}

#[test]
fn a_named_file_must_be_there_and_be_a_file() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    assert!(loader(&dir.path().join("none.toml"), &[]).load().is_err());
    assert!(loader(dir.path(), &[]).load().is_err());
    let choice = FileChoice::FirstOf(vec![dir.path().join("none.toml")]);
    assert!(Loader::from_parts(choice, Vec::new(), MACHINE).load().is_ok());
}

#[test]
fn dotted_keys_and_inline_tables_are_the_same_file() {
    let a = load("cache.shards = 3\n", &[]).expect("valid").settings;
    let b = load("cache = { shards = 3 }\n", &[]).expect("valid").settings;
    let c = load("[cache]\nshards = 3\n", &[]).expect("valid").settings;
    assert_eq!(a, b);
    assert_eq!(b, c);
}

#[test]
fn a_secret_is_never_shown() {
    let s = load("[server]\nrequirepass = \"hunter2\"\n", &[]).expect("valid");
    let shown = format!("{s:?}{}", super::super::render::effective(&s));
    assert!(!shown.contains("hunter2"), "{shown}");
    let wrong = load("[server]\nrequirepass = [\"hunter2\"]\n", &[]);
    assert!(!problems(wrong).join("").contains("hunter2"));
}

#[test]
fn tables_are_read_row_by_row_and_every_mistake_has_its_line() {
    let text = "[[users]]\nname = \"ann\"\nenabled = 1\nrulse = \"+get\"\n\n[[users]]\nrules = \"\"\n\n\
                [[users]]\nname = \"bob\"\n[[users]]\nname = \"bob\"\n[profiles.p]\nusers = 7\n";
    assert_eq!(
        problems(load(text, &[("SEAWALL__USERS", "x")])),
        [
            "seawall.toml:3: users.enabled: 1 is not true or false; write for example true",
            "seawall.toml:4: users.rulse: unknown key; did you mean rules?",
            "seawall.toml:6: users: a row of [[users]] needs name",
            "seawall.toml:11: users: names \"bob\" twice",
            "seawall.toml:14 (profile p): users: is a list of tables; write [[users]] for each",
            "environment variable SEAWALL__USERS: [[users]] cannot be set here; write it into the file",
        ]
    );
}

#[test]
fn a_profile_that_names_users_has_them_all() {
    let text = "users = [{ name = \"ann\", nopass = true }, { name = \"bob\" }]\n\
                [[profiles.p.users]]\nname = \"eve\"\n";
    let names = |pairs: &[(&str, &str)]| {
        let users = load(text, pairs).expect("valid").settings.users;
        users.iter().map(|user| user.name().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["ann", "bob", "default"]);
    assert_eq!(names(&[("SEAWALL_PROFILE", "p")]), ["default", "eve"]);
}
