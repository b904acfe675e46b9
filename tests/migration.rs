//! From a real redis-server to the daemon: what it holds is what comes out.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::redis::RedisServer;
use crate::support::{Daemon, Raw, Reply, Setup, seed, setting, wait_for};

/// Runs `seawall` with these words: exit code, standard output, standard error.
fn seawall(words: &[&str]) -> (i32, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_seawall")).args(words).output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// Imports, with every key.
fn import(from: &Path, data: &Path) -> (i32, String, String) {
    let (from, data) = (from.to_str().expect("UTF-8"), data.to_str().expect("UTF-8"));
    seawall(&["import", "--from", from, "--data", data, "--all-keys"])
}

/// A daemon that is not started yet, and its data directory.
fn not_started() -> (Setup, std::path::PathBuf) {
    let setup = Setup::new().with("validation.binary_keys", "true");
    let data = setup.dir().join("data");
    (setup, data)
}

/// Strings by database and key: value, and when it expires.
type Strings = BTreeMap<(u8, Vec<u8>), (Vec<u8>, i64)>;

/// Every string that a server holds.
fn strings(client: &mut Raw) -> Strings {
    let mut found = Strings::new();
    for db in 0..16 {
        assert_eq!(client.run(&format!("SELECT {db}")), Reply::ok());
        for key in client.run("KEYS *").items() {
            let Reply::Bulk(key) = key else { panic!("{key:?}") };
            if client.call(&[b"TYPE", &key[..]]).text() != "string" {
                continue;
            }
            let Reply::Bulk(value) = client.call(&[b"GET", &key[..]]) else { continue };
            let until = client.call(&[b"PEXPIRETIME", &key[..]]).int();
            found.insert((db, key.clone()), (value, until));
        }
    }
    assert_eq!(client.run("SELECT 0"), Reply::ok());
    found
}

/// Strings of every encoding, with and without a time to live, in several databases.
fn add_strings(client: &mut Raw) {
    let ok = |reply| assert_eq!(reply, Reply::ok());
    for (key, value) in
        [("int8", "-7"), ("int16", "30000"), ("int32", "-2000000000"), ("int64", "123456789012")]
    {
        ok(client.call(&["SET", key, value]));
    }
    ok(client.call(&["SET", "empty", ""]));
    ok(client.call(&["SET", "packed", &"ab".repeat(3000)]));
    ok(client.call(&["SET", "float", "3.0e10"]));
    ok(client.call(&[&b"SET"[..], b"\xff\0key\r\n", b"\0\r\n\xfe"]));
    // Bytes that LZF cannot make smaller.
    let noise: Vec<u8> =
        (0..200_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    ok(client.call(&[&b"SET"[..], b"noise", &noise]));
    assert_eq!(client.run("SETBIT bits 99 1").int(), 0);
    assert_eq!(client.run("APPEND packed tail").int(), 6004);
    for i in 0..500 {
        ok(client.run(&format!("SET key:{i} {} PX {}", "v".repeat(i), 3_600_000 + i)));
    }
    ok(client.run("SELECT 9"));
    ok(client.run("SET other-db x EXAT 4102444800"));
    ok(client.run("SELECT 0"));
}

/// Values of every other type, small and large, so that each encoding is there.
fn add_others(client: &mut Raw) {
    let mut run = |line: &str| {
        let reply = client.run(line);
        assert!(!reply.is_error(), "{line}: {reply:?}");
    };
    for n in [3, 700] {
        for i in 0..n {
            run(&format!("RPUSH list:{n} element-{i}"));
            run(&format!("SADD ints:{n} {i}"));
            run(&format!("SADD set:{n} member-{i}"));
            run(&format!("ZADD zset:{n} {i}.5 member-{i}"));
            run(&format!("HSET hash:{n} field-{i} {i}"));
            run(&format!("XADD stream:{n} * field {i}"));
        }
    }
    run(&format!("RPUSH list:plain {}", "x".repeat(20_000)));
    run("ZADD zset:700 +inf top -inf bottom");
    run("XGROUP CREATE stream:3 readers 0");
    run("XREADGROUP GROUP readers one COUNT 2 STREAMS stream:3 >");
    run("XDEL stream:700 0-1");
}

/// A server with everything.
fn full_server(settings: &[&str]) -> Option<RedisServer> {
    let server =
        RedisServer::start_in(tempfile::tempdir().expect("a temporary directory"), settings)?;
    let mut client = server.connect();
    add_strings(&mut client);
    add_others(&mut client);
    let library = "#!lua name=lib\nredis.register_function('f', function() return 1 end)";
    assert_eq!(client.call(&["FUNCTION", "LOAD", library]).text(), "lib");
    Some(server)
}

/// Commands on few keys of two databases, some of them not held by the daemon.
fn add_history(client: &mut Raw, seed: u64) {
    let mut state = seed;
    let mut next = |below: u64| {
        // Knuth's MMIX generator; the high bits are the good ones.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut queued = 0;
    for i in 0..3000 {
        let (a, b) = (next(12), next(12));
        let line = match next(40) {
            0..=4 => format!("SET {a} {i}"),
            5 => format!("SET {a} {i} KEEPTTL"),
            6 => format!("SET {a} {i} PX {}", 3_000_000 + i),
            7 => format!("SETEX {a} 4000 {i}"),
            8 => format!("SET {a} {i} NX"),
            9 => format!("GETSET {a} {i}"),
            10 | 11 => format!("APPEND {a} {}", next(10)),
            12 | 13 => format!("INCRBY {a} {i}"),
            14 => format!("INCRBYFLOAT {a} 0.5"),
            15 => format!("SETRANGE {a} {b} xyz"),
            16 => format!("MSET {a} {i} {b} {i}"),
            17 => format!("MSETNX {a} {i} {b} {i}"),
            18 => format!("DEL {a} {b}"),
            19 => format!("UNLINK {a}"),
            20 => format!("EXPIRE {a} 5000"),
            21 => format!("PERSIST {a}"),
            22 => format!("GETEX {a} EX 6000"),
            23 => format!("GETDEL {a}"),
            24 | 25 => format!("RENAME {a} {b}"),
            26 => format!("RENAMENX {a} {b}"),
            27 => format!("COPY {a} {b} DB {} REPLACE", next(2)),
            28 => format!("MOVE {a} {}", next(2)),
            29 => "SWAPDB 0 1".to_owned(),
            30 => format!("SELECT {}", next(2)),
            31 if queued == 0 => {
                queued = 5;
                "MULTI".to_owned()
            }
            32 => format!("RPUSH {a} {i}"),
            33 => format!("LPOP {a}"),
            34 => format!("SADD {a} {i}"),
            35 => format!("SUNIONSTORE {a} {b}"),
            36 => format!("EXPIREAT {a} 1"),
            37 if i % 4 == 0 => format!("SETBIT {a} 9 1"),
            38 if i % 10 == 0 => format!("EVAL return(redis.call('set',KEYS[1],'s')) 1 {a}"),
            39 if i % 20 == 0 => "FLUSHDB".to_owned(),
            _ => format!("DECR {a}"),
        };
        // Some are errors, and leave nothing behind.
        client.run(&line);
        if queued == 1 {
            client.run("EXEC");
        }
        queued = u64::saturating_sub(queued, 1);
    }
    if queued > 0 {
        client.run("EXEC");
    }
    assert_eq!(client.run("SELECT 0"), Reply::ok());
}

/// Starts the daemon; it must hold these strings and nothing else.
fn holds(setup: Setup, expected: &Strings) -> Daemon {
    let daemon = setup.start();
    let mut client = daemon.connect();
    let found = strings(&mut client);
    assert_eq!(found.len(), expected.len());
    for (key, entry) in expected {
        assert_eq!(found.get(key), Some(entry), "{key:?}");
    }
    daemon
}

#[test]
fn every_string_of_an_rdb_file_comes_over_and_the_rest_is_counted() {
    let Some(server) = full_server(&[]) else { return };
    let mut client = server.connect();
    assert_eq!(client.run("SAVE"), Reply::ok());
    let expected = strings(&mut client);
    let (setup, data) = not_started();
    let dump = server.dir().join("dump.rdb");
    let (code, text, error) = import(&dump, &data);
    assert_eq!(code, 0, "{error}");
    assert!(text.starts_with(&format!("imported {} keys of ", expected.len())), "{text}");
    for line in [
        "  database 0: 510\n",
        "  database 9: 1\n",
        "list: 3\n",
        "set: 4\n",
        "sorted set: 2\n",
        "hash: 2\n",
        "stream: 2\n",
        "function library: 1\n",
        "LSN 511, all of it on disk\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let mut daemon = holds(setup, &expected);

    // Not under a daemon, and not twice by mistake.
    let (code, _, error) = import(&dump, &data);
    assert_eq!(code, 75, "{error}");
    daemon.stop();
    let (code, _, error) = import(&dump, &data);
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("--into-existing"), "{error}");
}

#[test]
fn an_import_that_was_killed_can_be_made_again() {
    let Some(server) = full_server(&[]) else { return };
    let mut client = server.connect();
    assert_eq!(client.run("SAVE"), Reply::ok());
    let expected = strings(&mut client);
    let (setup, data) = not_started();
    let dump = server.dir().join("dump.rdb");
    // A file that grows beyond 100 KB ends the process in the middle of a write.
    let killed = Command::new("sh")
        .args(["-c", r#"ulimit -c 0; ulimit -f 100; exec "$0" "$@""#])
        .arg(env!("CARGO_BIN_EXE_seawall"))
        .args(["import", "--all-keys", "--from"])
        .arg(&dump)
        .arg("--data")
        .arg(&data)
        .output()
        .expect("a shell");
    assert!(!killed.status.success(), "{killed:?}");
    let words =
        ["import", "--all-keys", "--into-existing", "--from", dump.to_str().expect("UTF-8")];
    let words: Vec<&str> =
        words.into_iter().chain(["--data", data.to_str().expect("UTF-8")]).collect();
    let (code, text, error) = seawall(&words);
    assert_eq!(code, 0, "{text}{error}");
    holds(setup, &expected);
}

#[test]
fn a_damaged_rdb_file_is_refused_with_the_place() {
    let Some(server) = full_server(&[]) else { return };
    assert_eq!(server.connect().run("SAVE"), Reply::ok());
    let dump = server.dir().join("dump.rdb");
    let whole = std::fs::read(&dump).expect("a dump");
    let (setup, data) = not_started();
    for (name, bytes) in [
        ("cut", whole[..whole.len() / 2].to_vec()),
        ("flipped", {
            let mut bytes = whole.clone();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
            bytes
        }),
        ("empty", Vec::new()),
    ] {
        let damaged = setup.dir().join(name);
        std::fs::write(&damaged, bytes).expect("the test's folder");
        let (code, text, error) = import(&damaged, &data);
        assert_eq!((code, text.as_str()), (65, ""), "{name}: {error}");
        assert!(error.contains("offset") && error.contains("nothing was imported"), "{error}");
        assert!(!data.exists());
    }
    let (code, _, error) = import(&setup.dir().join("absent"), &data);
    assert_eq!(code, 71, "{error}");
}

/// Written before each reply: a server that syncs every second may put the write off.
const APPENDING: [&str; 6] =
    ["--appendonly", "yes", "--appendfsync", "no", "--auto-aof-rewrite-percentage", "0"];

/// The value of a line of INFO.
fn info(client: &mut Raw, name: &str) -> String {
    let text = client.run("INFO").text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_default().trim().to_owned()
}

#[test]
fn a_directory_of_append_only_files_comes_over() {
    let Some(server) = full_server(&APPENDING) else { return };
    let mut client = server.connect();
    assert!(!client.run("BGREWRITEAOF").is_error());
    wait_for("the rewrite", || {
        let running = info(&mut client, "aof_rewrite_in_progress");
        let waiting = info(&mut client, "aof_rewrite_scheduled");
        (running == "0" && waiting == "0").then_some(())
    });
    // From here on in the increments, behind the base.
    assert_eq!(client.run("DEL key:7 list:3").int(), 2);
    assert_eq!(client.run("INCRBY int16 5").int(), 30005);
    assert_eq!(client.run("SET late 1 EX 1000"), Reply::ok());
    assert_eq!(client.run("RPUSH late-list x").int(), 1);
    let expected = strings(&mut client);
    let (setup, data) = not_started();
    let (code, text, error) = import(&server.dir().join("appendonlydir"), &data);
    assert_eq!(code, 0, "{error}");
    assert!(text.contains("an append-only file in 2 parts"), "{text}");
    assert!(text.contains("list: 3\n") && text.contains("not held here, rpush: 1\n"), "{text}");
    holds(setup, &expected);
}

#[test]
fn what_a_history_of_commands_leads_to_comes_over() {
    let (first, mut all, mut came) = (seed(), 0, 0);
    for seed in first..first + setting("SEAWALL_HISTORIES", 3) {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let Some(server) = RedisServer::start_in(folder, &APPENDING) else { return };
        let mut client = server.connect();
        add_history(&mut client, seed);
        let expected = strings(&mut client);
        let (setup, data) = not_started();
        let (code, text, error) = import(&server.dir().join("appendonlydir"), &data);
        assert_eq!(code, 0, "seed {seed}: {error}");
        let daemon = setup.start();
        let found = strings(&mut daemon.connect());
        for (key, entry) in &found {
            assert_eq!(expected.get(key), Some(entry), "seed {seed}, {key:?}: {text}");
        }
        all += expected.len();
        came += found.len();
    }
    // Bits that were set are not known here, nor what became of them.
    assert!(came * 4 > all * 3, "{came} of {all} keys came over");
}

/// Exports.
fn export(data: &Path, format: &str, to: &Path) -> (i32, String, String) {
    let (data, to) = (data.to_str().expect("UTF-8"), to.to_str().expect("UTF-8"));
    seawall(&["export", "--data", data, "--format", format, "--to", to])
}

/// A server that has loaded an RDB file.
fn loaded(dump: &Path) -> Option<RedisServer> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    std::fs::copy(dump, folder.path().join("dump.rdb")).expect("the test's folder");
    RedisServer::start_in(folder, &[])
}

#[test]
fn what_is_exported_is_loaded_by_redis_key_by_key() {
    let setup = Setup::new().with("validation.binary_keys", "true");
    let mut daemon = setup.start();
    let data = daemon.dir().join("data");
    let dump = daemon.dir().join("dump.rdb");
    let mut client = daemon.connect();
    let noise: Vec<u8> =
        (0..200_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    assert_eq!(client.call(&[&b"SET"[..], b"\xff\0\r\n", &noise]), Reply::ok());
    for i in 0..500 {
        let line = format!("SET key:{i} {} PX {}", "v".repeat(i), 3_600_000 + i);
        assert_eq!(client.run(&line), Reply::ok());
    }
    // From a snapshot and the log behind it.
    assert_eq!(client.run("SAVE"), Reply::ok());
    assert_eq!(client.run("DEL key:3 key:4").int(), 2);
    assert_eq!(client.run("INCR count").int(), 1);
    assert_eq!(client.run("SELECT 15"), Reply::ok());
    assert_eq!(client.run("SET far 1 PX 1"), Reply::ok());
    assert_eq!(client.run("SET other 1"), Reply::ok());
    wait_for("its end", || (client.run("EXISTS far").int() == 0).then_some(()));
    let expected = strings(&mut client);
    assert_eq!(expected.len(), 501);

    let (code, text, error) = export(&data, "rdb", &dump);
    assert_eq!(code, 0, "{error}");
    assert!(text.starts_with("exported 501 keys of "), "{text}");
    assert!(text.contains("a daemon uses this directory"), "{text}");
    let Some(server) = loaded(&dump) else { return };
    assert_eq!(strings(&mut server.connect()), expected);

    // After a crash, as commands, into a server that has nothing.
    daemon.kill();
    let commands = daemon.dir().join("commands");
    assert_eq!(export(&data, "resp", &commands).0, 0);
    let folder = tempfile::tempdir().expect("a temporary directory");
    let Some(server) = RedisServer::start_in(folder, &[]) else { return };
    let mut client = server.connect();
    let piped = Command::new("redis-cli")
        .arg("-s")
        .arg(server.dir().join("s"))
        .arg("--pipe")
        .stdin(std::fs::File::open(&commands).expect("the commands"))
        .output();
    let piped = String::from_utf8(piped.expect("redis-cli").stdout).expect("UTF-8");
    assert!(piped.contains("errors: 0"), "{piped}");
    assert_eq!(strings(&mut client), expected);

    // To standard output it is the same; what is said goes to the other one.
    let output = Command::new(env!("CARGO_BIN_EXE_seawall"))
        .args(["export", "--format", "resp", "--to", "-", "--data"])
        .arg(&data)
        .stderr(Stdio::piped())
        .output()
        .expect("the binary runs");
    assert_eq!(output.stdout, std::fs::read(&commands).expect("the commands"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("exported 501 keys"));

    // And back.
    let (setup, fresh) = not_started();
    assert_eq!(import(&dump, &fresh).0, 0);
    holds(setup, &expected);
}

#[test]
fn a_damaged_log_is_not_exported() {
    let mut daemon = Setup::new().start();
    let mut client = daemon.connect();
    for i in 0..10 {
        assert_eq!(client.run(&format!("SET key:{i} value-{i}")), Reply::ok());
    }
    daemon.stop();
    let data = daemon.dir().join("data");
    let segment = std::fs::read_dir(data.join("wal")).expect("the log").next().expect("a segment");
    let segment = segment.expect("readable").path();
    let mut bytes = std::fs::read(&segment).expect("a segment");
    let at = bytes.windows(7).position(|w| w == b"value-4").expect("the fifth value");
    bytes[at] ^= 1;
    std::fs::write(&segment, &bytes).expect("the test's folder");
    let dump = daemon.dir().join("dump.rdb");
    let (code, text, error) = export(&data, "rdb", &dump);
    assert_eq!((code, text.as_str()), (83, ""), "{error}");
    assert!(error.contains("nothing was exported"), "{error}");
    assert!(!dump.exists());
    let (code, _, error) = export(&daemon.dir().join("absent"), "rdb", &dump);
    assert_eq!(code, 71, "{error}");
}
