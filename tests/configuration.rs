//! Files, reload, CONFIG, wrong settings.

use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;

use crate::support::{Daemon, Raw, Reply, Setup, wait_for, wait_until};

fn setting(daemon: &Daemon, name: &str) -> String {
    let reply = daemon.connect().call(&["CONFIG", "GET", name]);
    reply.items().get(1).map(Reply::text).unwrap_or_default()
}

#[test]
fn a_wrong_configuration_ends_the_start_with_78_and_lists_every_mistake() {
    let (code, log) = Setup::new()
        .with("cache.max_memry", r#""1GB""#)
        .with("wal.fsync", r#""allways""#)
        .with("server.databases", "0")
        .env("SEAWALL__CACHE__SHARDS", "many")
        .fails();
    assert_eq!(code, 78, "{log}");
    for word in ["cache.max_memory", "allways", "server.databases", "SEAWALL__CACHE__SHARDS"] {
        assert!(log.contains(word), "{word} is missing in {log}");
    }
}

#[test]
fn a_file_that_is_not_there_or_not_toml_ends_the_start_with_78() {
    let setup = Setup::new();
    let run = |args: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_seawall"))
            .args(args)
            .current_dir(setup.dir())
            .output()
            .expect("the binary runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    let (code, text) = run(&["--config", "absent.toml", "check"]);
    assert!(code == Some(78) && text.contains("absent.toml"), "{text}");
    std::fs::write(setup.dir().join("broken.toml"), "[cache\n").expect("the test's folder");
    let (code, text) = run(&["--config", "broken.toml", "check"]);
    assert!(code == Some(78) && text.contains("broken.toml"), "{text}");
    std::fs::write(setup.dir().join("secret.toml"), "[server]\nrequirepass = \"hunter2\"\n")
        .expect("the test's folder");
    let (code, text) = run(&["--config", "secret.toml", "check"]);
    assert!(code == Some(0) && !text.contains("hunter2"), "{text}");
}

#[test]
fn a_changed_file_takes_effect_by_itself() {
    let mut daemon = Setup::new().with("cache.shards", "1").start();
    let mut client = daemon.connect();
    for i in 0..10 {
        client.run(&format!("SET k{i} v"));
    }
    daemon.configure("cache.max_entries", "4");
    wait_until("the entries fit the new limit", || client.run("DBSIZE") == Reply::Int(4));
    assert_eq!(setting(&daemon, "cache.max_entries"), "4");
}

#[test]
fn a_bad_file_changes_nothing_and_the_next_good_one_counts() {
    let mut daemon = Daemon::start();
    let before = setting(&daemon, "cache.max_entries");
    daemon.write_config("[cache]\nmax_entries = 7\nno_such_key = 1\n");
    daemon.signal(Signal::HUP);
    let line = daemon.wait_log("the refusal", |line| {
        line["message"].as_str().is_some_and(|m| m.starts_with("reload refused"))
    });
    assert!(line["details"].as_str().is_some_and(|d| d.contains("no_such_key")), "{line}");
    assert_eq!(setting(&daemon, "cache.max_entries"), before);
    assert_eq!(daemon.connect().run("SET k v"), Reply::ok());
    daemon.configure("cache.max_entries", "77");
    daemon.signal(Signal::HUP);
    wait_until("the good one counts", || setting(&daemon, "cache.max_entries") == "77");
}

/// As Kubernetes mounts a ConfigMap, with everything that can happen to it, under load.
#[test]
fn no_command_fails_while_the_file_is_swapped_broken_and_deleted() {
    let mut daemon = Setup::new().with("cache.shards", "2").start();
    let (dir, file) = (daemon.dir().to_owned(), daemon.config());
    let text = std::fs::read_to_string(&file).expect("the test's file");
    let swap = |version: u32, text: &str| {
        let folder = format!("..v{version}");
        std::fs::create_dir(dir.join(&folder)).expect("the test's folder");
        std::fs::write(dir.join(&folder).join("seawall.toml"), text).expect("the test's folder");
        symlink(&folder, dir.join("..new")).expect("the test's folder");
        std::fs::rename(dir.join("..new"), dir.join("..data")).expect("the test's folder");
    };
    let with = |entries: u32| text.replace("[cache]", &format!("[cache]\nmax_entries = {entries}"));
    let over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..2)
        .map(|id| {
            let (mut client, over) = (daemon.connect(), Arc::clone(&over));
            std::thread::spawn(move || {
                let mut n = 0;
                while !over.load(Ordering::Relaxed) {
                    n += 1;
                    assert_eq!(client.run(&format!("INCR n{id}")), Reply::Int(n));
                }
                n
            })
        })
        .collect();
    let reaches = |daemon: &Daemon, entries: u32| {
        wait_until("the new limit", || setting(daemon, "cache.max_entries") == entries.to_string());
    };
    let refused = |daemon: &mut Daemon, why: &str| {
        daemon.wait_log("the refusal", |line| {
            line["message"] == "reload refused; nothing changed"
                && line["details"].as_str().is_some_and(|details| details.contains(why))
        });
    };
    swap(1, &with(1001));
    symlink("..data/seawall.toml", dir.join("link")).expect("the test's folder");
    std::fs::rename(dir.join("link"), &file).expect("the test's folder");
    reaches(&daemon, 1001);
    swap(2, &with(1002));
    reaches(&daemon, 1002);
    swap(3, &with(1003).replace("max_entries", "max_entrees"));
    refused(&mut daemon, "max_entries");
    std::fs::remove_file(dir.join("..data")).expect("the test's folder");
    refused(&mut daemon, "cannot be read");
    assert_eq!(setting(&daemon, "cache.max_entries"), "1002");
    swap(4, &with(1004));
    reaches(&daemon, 1004);
    over.store(true, Ordering::Relaxed);
    for writer in writers {
        assert!(writer.join().expect("no command fails") > 0);
    }
}

#[test]
fn what_needs_a_restart_waits_for_one_and_says_so() {
    let mut daemon = Setup::new().with("cache.shards", "2").start();
    daemon.configure("cache.shards", "3");
    daemon.signal(Signal::HUP);
    daemon.wait_log("the warning", |line| {
        line["key"] == "cache.shards" && line["message"] == "setting waits for a restart"
    });
    daemon.stop();
    daemon.restart();
    assert!(daemon.connect().run("SW.TREE").text().contains("shard-2"));
}

#[test]
fn another_address_is_bound_before_the_old_one_goes_and_clients_stay() {
    let mut daemon = Daemon::start();
    let mut client = daemon.connect();
    let old = daemon.resp();
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    daemon.configure("server.bind", &format!(r#"["{free}"]"#));
    wait_for("the new address is served", || {
        Raw::try_tcp(free).ok()?.try_run("PING").ok().filter(|reply| !reply.is_error())
    });
    wait_until("the old address is not", || {
        Raw::try_tcp(old).is_ok_and(|mut client| client.try_run("PING").is_err())
            || Raw::try_tcp(old).is_err()
    });
    assert_eq!(client.run("PING").text(), "PONG", "who was connected stays");
    // An address that is taken: nothing changes.
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound");
    daemon.configure("server.bind", &format!(r#"["{address}"]"#));
    daemon.signal(Signal::HUP);
    daemon.wait_log("the refusal", |line| {
        line["details"].as_str().is_some_and(|d| d.contains(&address.to_string()))
    });
    assert_eq!(Raw::tcp(free).run("PING").text(), "PONG");
}

#[test]
fn a_password_file_is_read_again_when_it_changes() {
    let setup = Setup::new().with("server.requirepass_file", r#""password""#);
    let file = setup.dir().join("password");
    std::fs::write(&file, "first\n").expect("the test's folder");
    let daemon = setup.start();
    assert_eq!(daemon.connect().run("AUTH first"), Reply::ok());
    std::fs::write(&file, "second\n").expect("the test's folder");
    wait_until("the new password counts", || daemon.connect().run("AUTH second") == Reply::ok());
    assert!(daemon.connect().run("AUTH first").is_error());
}

#[test]
fn the_fsync_mode_changes_while_writes_go_on() {
    let mut daemon = Daemon::start();
    let mut client = daemon.connect();
    for (n, mode) in ["always", "no", "everysec", "always"].iter().enumerate() {
        assert_eq!(client.run(&format!("CONFIG SET wal.fsync {mode}")), Reply::ok());
        for i in 0..50 {
            assert_eq!(client.run(&format!("SET k:{n}:{i} v")), Reply::ok());
        }
    }
    daemon.kill();
    daemon.restart();
    assert_eq!(daemon.connect().run("DBSIZE"), Reply::Int(200));
}

#[test]
fn config_set_takes_all_or_nothing_and_rewrite_keeps_it() {
    let mut daemon = Daemon::start();
    let mut client = daemon.connect();
    let refused = client.run("CONFIG SET maxclients 77 wal.fsync sometimes");
    assert!(refused.is_error(), "{refused:?}");
    assert_ne!(setting(&daemon, "maxclients"), "77");
    assert_eq!(client.run("CONFIG SET maxclients 77 maxmemory 50mb"), Reply::ok());
    assert_eq!(setting(&daemon, "maxmemory"), (50 * 1024 * 1024).to_string());
    assert_eq!(client.run("CONFIG REWRITE"), Reply::ok());
    daemon.stop();
    daemon.restart_with_file_as_it_is();
    assert_eq!(setting(&daemon, "maxclients"), "77");
}

#[test]
fn the_log_level_and_format_change_while_it_runs() {
    let mut daemon = Daemon::start();
    let mut client = daemon.connect();
    assert_eq!(client.run("CONFIG SET log.level debug"), Reply::ok());
    daemon.connect().run("QUIT");
    daemon.wait_log("a debug line", |line| line["level"] == "DEBUG");
    assert_eq!(client.run("CONFIG SET log.format text"), Reply::ok());
    daemon.connect().run("QUIT");
    wait_until("a line of text", || {
        daemon.log_text().lines().any(|line| line.contains(" DEBUG ") && !line.starts_with('{'))
    });
}

#[test]
fn debug_is_refused_unless_allowed() {
    let daemon = Daemon::start();
    assert!(
        daemon.connect().run("DEBUG SLEEP 0").text().starts_with("ERR DEBUG command not allowed")
    );
    let daemon = Setup::new().with("debug.commands", "true").start();
    assert_eq!(daemon.connect().run("DEBUG SLEEP 0"), Reply::ok());
    assert!(daemon.connect().run("DEBUG JMAP").is_error());
}
