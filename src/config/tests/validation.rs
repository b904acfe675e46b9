//! Rules over several keys, caps, and what depends on the machine.

use super::super::settings::KeyBytes;
use super::*;

#[test]
fn percentages_are_of_the_machines_memory() {
    let s = load("[cache]\nmax_memory = \"60%\"\n", &[]).expect("valid").settings;
    assert_eq!(s.cache.max_memory, Some(600_000_000));
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("seawall.toml");
    std::fs::write(&file, "[cache]\nmax_memory = \"60%\"\n").expect("a file");
    let unknown = Machine { memory: None, cores: 1 };
    let loader = Loader::from_parts(FileChoice::Named(file), Vec::new(), unknown);
    assert!(problems(loader.load())[0].contains("a percentage needs to know"));
}

/// 256 and more were taken, and every write behind SELECT 255 was refused.
#[test]
fn no_more_databases_than_a_record_can_name() {
    let found = problems(load("[server]\ndatabases = 256\n", &[]));
    assert!(found[0].contains("server.databases"), "{found:?}");
    let settings = load("[server]\ndatabases = 255\n", &[]).expect("valid").settings;
    assert_eq!(settings.server.databases, 255);
}

#[test]
fn zero_lifts_a_limit() {
    let text = "[cache]\nmax_memory = 0\nmax_entries = 0\n[validation]\nmax_ttl = \"0s\"\n";
    let s = load(text, &[]).expect("valid").settings;
    assert_eq!((s.cache.max_memory, s.cache.max_entries), (None, None));
    assert_eq!(s.validation.max_ttl, None);
    assert_eq!(s.warnings().len(), 1);
}

#[test]
fn under_paranoia_the_smaller_limit_wins() {
    let text = "[cache]\nparanoia = true\nmax_memory = 0\n[validation]\nbinary_keys = true\n";
    let s = load(text, &[]).expect("valid").settings;
    assert_eq!(s.cache.max_entries, Some(10_000));
    assert_eq!(s.cache.max_memory, Some(10_000_000));
    assert_eq!(s.validation.max_value, 1_000_000);
    assert_eq!(s.validation.key_bytes, KeyBytes::PrintableAscii);

    let text = "[cache]\nparanoia = true\nmax_memory = \"1%\"\nmax_entries = 7\n\
                [validation]\nmax_value = \"2KB\"\n";
    let small = Machine { memory: Some(200_000_000), cores: 1 };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("seawall.toml");
    std::fs::write(&file, text).expect("a file");
    let s = Loader::from_parts(FileChoice::Named(file), Vec::new(), small).load();
    let s = s.expect("valid").settings;
    assert_eq!(s.cache.max_entries, Some(7));
    assert_eq!(s.cache.max_memory, Some(2_000_000));
    assert_eq!(s.validation.max_value, 2_000);
}

#[test]
fn rules_over_several_keys_are_reported_together() {
    let text = "[server]\nbind = []\n[cache]\ndefault_ttl = \"2h\"\n\
                [validation]\nmax_ttl = \"1h\"\nmax_value = \"300MB\"\n";
    let found = problems(load(text, &[]));
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found[0].contains("server.bind: nothing to listen on"), "{found:?}");
    assert!(found[1].contains("cache.default_ttl: is longer than"), "{found:?}");
    assert!(found[2].contains("server.query_buffer: is too small"), "{found:?}");
    assert!(found[2].starts_with("seawall.toml:7"), "the line that was written: {found:?}");
    assert!(found[3].contains("server.output_buffer"), "{found:?}");
}

#[test]
fn admin_and_server_cannot_share_an_address() {
    let found = problems(load("[admin]\nbind = \"127.0.0.1:6380\"\n", &[]));
    assert!(found[0].contains("taken by server.bind"), "{found:?}");
    assert!(load("[admin]\nbind = \"\"\n", &[]).expect("valid").settings.admin.bind.is_none());
}

#[test]
fn a_password_comes_from_one_place() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let secret = dir.path().join("password");
    let text = format!("[server]\nrequirepass_file = {:?}\n", secret.display().to_string());
    assert!(problems(load(&text, &[]))[0].contains("cannot be read"));

    std::fs::write(&secret, "from a file\r\n").expect("a file");
    let s = load(&text, &[]).expect("valid").settings;
    assert_eq!(s.server.password.as_ref().map(|p| p.expose()), Some("from a file"));

    let both = load(&text, &[("SEAWALL__SERVER__REQUIREPASS", "x")]);
    assert!(problems(both)[0].contains("exclude each other"));

    std::fs::write(&secret, "\n").expect("a file");
    assert!(problems(load(&text, &[]))[0].contains("is empty"));
    std::fs::write(&secret, [0xff, 0xfe]).expect("a file");
    assert!(problems(load(&text, &[]))[0].contains("not UTF-8"));
}

#[test]
fn an_open_door_is_warned_about() {
    let open = "[server]\nbind = [\"0.0.0.0:6380\"]\n";
    let warnings = |text: &str| load(text, &[]).expect("valid").settings.warnings();
    assert!(warnings(open)[0].contains("protected mode"));
    assert!(warnings(&format!("{open}protected_mode = false\n"))[0].contains("whoever"));
    assert!(warnings(&format!("{open}requirepass = \"x\"\n")).is_empty());
}

#[test]
fn every_field_follows_its_key() {
    // Not one value is a default: a field that reads another key would show.
    let text = r#"
        [server]
        bind = ["127.0.0.1:1"]
        unix_socket = "/s"
        databases = 3
        max_clients = 4
        idle_timeout = "5s"
        tcp_keepalive = "6s"
        requirepass = "p"
        protected_mode = false
        query_buffer = "107MB"
        output_buffer = "108MB"
        [admin]
        bind = "127.0.0.1:9"
        [data]
        dir = "/d"
        [cache]
        shards = 10
        max_entries = 11
        max_memory = "12MB"
        eviction = "noeviction"
        default_ttl = "13s"
        sweep_interval = "14ms"
        [validation]
        binary_keys = true
        max_key_length = 15
        max_ttl = "16s"
        max_value = "17MB"
        [wal]
        enabled = false
        fsync = "always"
        segment_size = "18MB"
        compress_above = "21KB"
        retention = "19h"
        [log]
        format = "json"
        level = "debug"
        [supervision]
        grace = "20s"
        watchdog = "21s"
        [startup]
        fail_fast = false
        [debug]
        drills = true
        commands = true
    "#;
    let s = load(text, &[]).expect("valid").settings;
    let shown: String = format!("{s:#?}").split("values:").next().unwrap_or("").to_owned();
    assert_in_order(&shown);
}

/// Every number and word of the text above, in the order of the fields.
fn assert_in_order(shown: &str) {
    let mut rest = shown;
    for expected in [
        "host: \"127.0.0.1\"",
        "port: 1,",
        "\"/s\"",
        "databases: 3",
        "max_clients: 4",
        "idle_timeout",
        "5s",
        "tcp_keepalive",
        "6s",
        "Secret(***)",
        "protected_mode: false",
        "query_buffer: 107000000",
        "output_buffer: 108000000",
        "port: 9,",
        "\"/d\"",
        "shards: 10",
        "11,",
        "12000000,",
        "NoEviction",
        "13s",
        "14ms",
        "Binary",
        "max_key_length: 15",
        "16s",
        "max_value: 17000000",
        "enabled: false",
        "Always",
        "segment_size: 18000000",
        "compress_above: 21000",
        "retention: 68400s",
        "Json",
        "level: \"debug\"",
        "grace: 20s",
        "watchdog: 21s",
        "fail_fast: false",
        "drills: true",
        "commands: true",
    ] {
        let at = rest.find(expected);
        assert!(at.is_some(), "{expected} is missing or out of order in\n{shown}");
        rest = &rest[at.unwrap_or(0)..];
    }
}

/// Eight shards held eight entries where three were allowed.
#[test]
fn fewer_entries_than_shards_are_refused() {
    let found = problems(load("[cache]\nshards = 8\nmax_entries = 3\n", &[]));
    assert!(found[0].contains("cache.max_entries") && found[0].contains("8 shards"), "{found:?}");
    let s = load("[cache]\nshards = 3\nmax_entries = 3\n", &[]).expect("valid").settings;
    assert_eq!(s.cache.max_entries, Some(3));
    assert!(load("[cache]\nshards = 8\nmax_entries = 0\n", &[]).is_ok());
}

/// 256 shards of 1 MB in all refused every write as out of memory.
#[test]
fn memory_that_holds_no_entry_per_shard_is_refused() {
    let found = problems(load("[cache]\nshards = 256\nmax_memory = \"1MB\"\n", &[]));
    assert!(found[0].contains("cache.max_memory") && found[0].contains("256 shards"), "{found:?}");
    assert!(load("[cache]\nshards = 1\nmax_memory = \"1MB\"\n", &[]).is_ok());
    assert!(load("[cache]\nshards = 256\nmax_memory = 0\n", &[]).is_ok());
}

/// With four shards a value of 26MB was refused as out of memory while 100MB were free; with
/// shares of 64MB for the default of max_value every machine had one shard; and 100 entries in
/// many shards were less than 100 by the luck of the keys.
#[test]
fn auto_takes_no_more_shards_than_have_a_share_worth_having() {
    for (text, shards) in [
        ("", 3),
        ("cache.max_memory = \"0\"", 3),
        ("cache.max_memory = \"1GB\"", 3),
        ("cache.max_memory = \"60MB\"", 2),
        ("cache.max_memory = \"50MB\"", 1),
        ("cache.max_memory = \"1MB\"", 1),
        ("validation.max_value = \"40MB\"", 2),
        (
            "validation.max_value = \"200MB\"\nserver.query_buffer = \"300MB\"\ncache.max_memory = \"500MB\"",
            2,
        ),
        ("validation.max_value = \"1MB\"", 3),
        ("cache.max_memory = 0\ncache.max_entries = 2", 1),
        ("cache.max_entries = 2999", 2),
        ("cache.paranoia = true", 3),
    ] {
        let settings = load(text, &[]).expect("valid").settings;
        assert_eq!(settings.cache.shards, shards, "{text}");
        assert!(!settings.warnings().join("").contains("shards has"), "{text}");
    }
    let fixed = load("cache.shards = 4", &[]).expect("valid").settings;
    let warnings = fixed.warnings().join("");
    assert!(warnings.contains("each of 4 shards has 25MB of cache.max_memory"), "{warnings}");
    let defaults = load("", &[]).expect("valid").settings;
    assert!(defaults.warnings().is_empty(), "{:?}", defaults.warnings());
}

/// What the file takes was refused from the environment, with that very form as the example.
#[test]
fn a_list_in_the_environment_may_be_written_as_in_the_file() {
    let bind = |text: &str| {
        let loaded = load("", &[("SEAWALL__SERVER__BIND", text)]);
        loaded.map(|l| l.settings.server.bind.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let both = vec!["127.0.0.1:1".to_owned(), "[::1]:2".to_owned()];
    assert_eq!(bind("127.0.0.1:1,[::1]:2").expect("bare"), both);
    assert_eq!(bind("[::1]:2").expect("an IPv6 address"), ["[::1]:2"]);
    assert_eq!(bind("[\"127.0.0.1:1\", '[::1]:2']").expect("a list"), both);
    assert_eq!(bind("[ '127.0.0.1:1' ]").expect("a list"), ["127.0.0.1:1"]);
    for wrong in ["[\"127.0.0.1:1\"", "[\"127.0.0.1:1\"] x", "[1]", "[[\"127.0.0.1:1\"]]"] {
        assert!(bind(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn users_have_their_passwords_from_rows_and_files() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let secrets = dir.path().join("secrets");
    let digits = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    std::fs::write(&secrets, format!("one\n\n#{digits}\r\n")).expect("a file");
    let text = format!(
        "[server]\nrequirepass = \"d\"\n[[users]]\nname = \"ann\"\npassword_file = {:?}\n\
         [[users]]\nname = \"default\"\nrules = \"+ping\"\n",
        secrets.display().to_string()
    );
    let users = load(&text, &[]).expect("valid").settings.users;
    let who = |name: &str, password: &str| {
        users.authenticate(name.as_bytes(), password.as_bytes()).is_some()
    };
    assert!(who("ann", "one") && who("ann", "secret") && !who("ann", ""));
    assert!(who("default", "d") && !who("default", "one"));
    assert_eq!(users.default_user().permissions().shown_commands(), "-@all +ping");
    let shown = crate::config::render::effective(&load(&text, &[]).expect("valid"));
    assert!(shown.contains("[[users]] # ") && shown.contains("name = \"ann\""), "{shown}");
}

#[test]
fn users_that_are_wrong_are_refused_and_no_password_is_shown() {
    for (row, told) in [
        ("name = \"a b\"", "users.name: \"a b\" is not a word without spaces"),
        ("name = \"a\"\npasswords = [\"hunter2\"]", "users: \"a\": entry 1 of passwords is not a"),
        ("name = \"a\"\npasswords = \"hunter2\"", "users.passwords: a text is not a list of texts"),
        (
            "name = \"a\"\npassword_file = \"/nowhere/hunter\"",
            "users: /nowhere/hunter cannot be read",
        ),
        ("name = \"a\"\nrules = \"+gett\"", "users: \"a\": rules: \"+gett\" names no command"),
        ("name = \"default\"\nnopass = true", "users: \"default\": the password of default is"),
    ] {
        let found = problems(load(&format!("[[users]]\n{row}\n"), &[]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(told) && !found[0].contains("hunter2"), "{found:?}");
    }
}

#[test]
fn prefixes_that_overlap_are_refused_as_redis_would() {
    let with = |list: &str| load(&format!("[redis]\ntrack_prefixes = {list}\n"), &[]);
    for overlapping in [r#"["user:", "user:7:"]"#, r#"["b", "a", "ab"]"#] {
        let found = problems(with(overlapping));
        assert!(found[0].contains("begins with another"), "{found:?}");
    }
    assert!(problems(with(r#"["a", "a"]"#))[0].contains("twice"));
    assert!(problems(with(r#"[""]"#))[0].contains("a list of key prefixes"));
    for fine in ["[]", r#"["user:", "session:"]"#] {
        with(fine).expect(fine);
    }
}
