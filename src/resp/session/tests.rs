use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::resp::backend::fake::{Client, FakeBackend};
use crate::resp::clients::{Endpoints, Pause};
use crate::resp::table::find;

fn command(name: &str) -> &'static Command {
    find(name.as_bytes()).expect("a command")
}

/// Whether a command may run, its arguments aside.
fn may_run(session: &Session, name: &str) -> Result<(), Refusal> {
    session.may_run(command(name), &Args::new(b"", &[]))
}

#[test]
fn without_a_password_everyone_is_authenticated() {
    let client = Client::alone();
    assert!(client.session.authenticated());
    assert_eq!(may_run(&client.session, "get"), Ok(()));
}

#[test]
fn before_authentication_only_what_leads_to_it_runs() {
    let daemon = Arc::new(FakeBackend::new(&[("SERVER__REQUIREPASS", "secret")]));
    let mut client = Client::connect(&daemon);
    let refused = may_run(&client.session, "get").expect_err("NOAUTH");
    assert_eq!(refused.to_string(), "NOAUTH Authentication required.");
    assert_eq!(refused.code(), "NOAUTH");
    for name in ["auth", "hello", "quit", "reset"] {
        assert_eq!(may_run(&client.session, name), Ok(()), "{name}");
    }
    for name in ["ping", "info", "shutdown", "client", "config", "command", "sw.tree"] {
        assert!(may_run(&client.session, name).is_err(), "{name}");
    }
    let users = Arc::clone(&daemon.config.settings().users);
    client.session.authenticate(users.default_user());
    assert_eq!(may_run(&client.session, "get"), Ok(()));
}

#[test]
fn a_password_set_later_leaves_the_connected_in_and_one_removed_lets_the_waiting_in() {
    let daemon = Arc::new(FakeBackend::new(&[]));
    let early = Client::connect(&daemon);
    daemon.config.set(&[(b"requirepass", b"secret")]).expect("settable");
    let late = Client::connect(&daemon);
    assert!(early.session.authenticated());
    assert!(!late.session.authenticated());
    daemon.config.set(&[(b"requirepass", b"")]).expect("settable");
    assert!(late.session.authenticated());
}

#[test]
fn skip_drops_one_reply_and_off_drops_all() {
    let mut session = Client::alone().session;
    assert!(session.replies());
    session.reply_mode = ReplyMode::SkipNext;
    assert!(!session.replies(), "CLIENT REPLY SKIP itself is silent");
    session.command_done();
    assert!(!session.replies(), "and so is the next command");
    session.command_done();
    assert!(session.replies(), "and no other");
    session.reply_mode = ReplyMode::Off;
    session.command_done();
    assert!(!session.replies());
}

#[test]
fn a_round_shows_its_last_command() {
    let mut session = Client::alone().session;
    for name in ["get", "get", "set"] {
        session.note_round(command(name), 5_000);
        let mut line = String::new();
        session.client().describe(7_000, &mut line);
        assert!(line.contains(&format!("cmd={name} ")) && line.contains("idle=2 "), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_writes_but_never_the_command_that_ends_it() {
    let session = Client::alone().session;
    session.daemon.clients().pause().close(Pause::All, Duration::from_secs(7));
    let begun = tokio::time::Instant::now();
    assert!(!session.is_held(command("client")) && session.is_held(command("get")));
    session.wait_while_paused(command("get")).await;
    assert!(begun.elapsed() >= Duration::from_secs(7));
}

#[test]
fn protected_mode_keeps_remote_clients_out_until_there_is_a_password() {
    let remote = Endpoints::Tcp {
        peer: "192.0.2.7:1".parse().expect("an address"),
        local: "192.0.2.1:6380".parse().expect("an address"),
    };
    let mapped = Endpoints::Tcp {
        peer: "[::ffff:127.0.0.1]:1".parse().expect("an address"),
        local: "[::ffff:127.0.0.1]:6380".parse().expect("an address"),
    };
    assert!(!protected_mode_admits(true, false, &remote));
    assert!(protected_mode_admits(true, true, &remote));
    assert!(protected_mode_admits(false, false, &remote));
    assert!(protected_mode_admits(true, false, &mapped), "loopback written as IPv6");
    assert!(DENIED.starts_with("DENIED ") && !DENIED.contains("  "), "{DENIED}");
}

const USERS: &str = "[[users]]\nname = \"ann\"\nnopass = true\nrules = \"+get ~a*\"\n";

#[test]
fn a_user_may_do_what_its_rules_say_and_a_change_counts_at_once() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("seawall.toml");
    std::fs::write(&file, USERS).expect("a file");
    let daemon = Arc::new(FakeBackend::with_file(&[], Some(&file)));
    let mut client = Client::connect(&daemon);
    let users = || Arc::clone(&daemon.config.settings().users);
    let ann = Arc::clone(users().get("ann").expect("ann"));
    client.session.authenticate(&ann);
    assert_eq!(may_run(&client.session, "get"), Ok(()));
    let refused = may_run(&client.session, "set").expect_err("NOPERM");
    assert_eq!(refused.to_string(), "NOPERM this user has no permissions to run the 'set' command");
    let mut line = String::new();
    client.session.client().describe(0, &mut line);
    assert!(line.contains(" user=ann "), "{line}");
    assert_eq!(daemon.gate.record().entries().len(), 1);

    std::fs::write(&file, USERS.replace("+get", "+get +set")).expect("a file");
    daemon.config.reload().expect("valid");
    assert!(client.session.follow(&users()));
    assert_eq!(may_run(&client.session, "set"), Ok(()));

    for gone in [USERS.replace("ann", "bob"), format!("{USERS}enabled = false\n")] {
        std::fs::write(&file, gone).expect("a file");
        daemon.config.reload().expect("valid");
        assert!(!client.session.follow(&users()), "the connection is to be closed");
    }
}

#[test]
fn reset_makes_the_client_the_default_user_again() {
    let daemon = Arc::new(FakeBackend::new(&[("SERVER__REQUIREPASS", "secret")]));
    let mut client = Client::connect(&daemon);
    let users = Arc::clone(&daemon.config.settings().users);
    client.session.authenticate(users.default_user());
    client.session.reset();
    assert!(!client.session.authenticated());
    assert_eq!(&**client.session.user().name(), "default");
}
