//! The servers are what they say they are.

use std::io::ErrorKind;
use std::process::Command;
use std::time::Duration;

use super::cluster::Cluster;
use super::sentinel::Sentinels;
use super::{REDIS, RedisServer, missing};
use crate::support::certificates::Authority;
use crate::support::proxy::To;
use crate::support::{PATIENCE, Raw, Reply, wait_until};

#[test]
fn a_server_stands_still_dies_and_comes_back_empty() {
    for program in [REDIS, "valkey-server"] {
        let Some(mut server) = RedisServer::program_listening(program, &["--maxclients", "3"])
        else {
            continue;
        };
        assert_eq!(server.connect().run("SET k v"), Reply::ok());
        let mut client = Raw::tcp(server.address());
        assert_eq!(client.run("GET k"), Reply::bulk("v"));
        let _more = [Raw::tcp(server.address()), Raw::tcp(server.address())];
        wait_until("a client too many is refused", || {
            Raw::tcp(server.address())
                .try_receive()
                .is_ok_and(|reply| reply.text().contains("max number of clients"))
        });
        server.pause();
        client.send(&["GET", "k"]);
        client.patience(Duration::from_millis(100));
        assert_eq!(client.try_receive().expect_err("a pause").kind(), ErrorKind::WouldBlock);
        server.resume();
        client.patience(PATIENCE);
        assert_eq!(client.receive(), Reply::bulk("v"));
        server.kill();
        assert!(client.is_closed());
        assert!(Raw::try_tcp(server.address()).is_err());
        server.restart();
        assert_eq!(Raw::tcp(server.address()).run("GET k"), Reply::Nil);
    }
}

#[test]
fn a_server_asks_for_certificates_and_shows_one() {
    let (authority, other) = (Authority::new("ours"), Authority::new("theirs"));
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ca = authority.write(dir.path());
    let (expired, name) = (authority.issue_for("server", Duration::ZERO), "client");
    let client = authority.issue(name).write(dir.path(), name);
    for (pair, works) in
        [(authority.issue("server"), true), (other.issue("server"), false), (expired, false)]
    {
        let Some(server) = RedisServer::listening_with_tls(&pair, Some(&ca), &[]) else { return };
        server.connect();
        let ping = |with_certificate: bool| {
            let mut command = Command::new("redis-cli");
            command
                .args(["-p", &server.address().port().to_string(), "--tls", "--cacert"])
                .arg(&ca);
            if with_certificate {
                command.arg("--cert").arg(&client.0).arg("--key").arg(&client.1);
            }
            command.arg("PING").output().map(|output| output.stdout == b"PONG\n")
        };
        match ping(true) {
            Ok(pong) => assert_eq!(pong, works),
            Err(error) => return missing("redis-cli", &error),
        }
        assert!(!ping(false).expect("it ran before"));
    }
}

#[test]
fn sentinels_make_the_replica_the_master() {
    let Some(all) = Sentinels::start(1, Duration::from_millis(500)) else { return };
    assert_eq!(all.master(), Some(0));
    assert_eq!(all.addresses().len(), 1);
    assert_eq!(Raw::tcp(all.nodes[0].proxy.address()).run("SET k v"), Reply::ok());
    let mut replica = Raw::tcp(all.nodes[1].proxy.address());
    assert!(replica.run("SET k w").text().starts_with("READONLY"));
    all.fail_over();
    assert_eq!(all.master(), Some(1));
    // Whoever was connected before is not any more.
    assert!(replica.is_closed());
    assert_eq!(Raw::tcp(all.nodes[1].proxy.address()).run("SET k w"), Reply::ok());
    all.wait_for_replica(0);
}

#[test]
fn a_cluster_redirects_to_the_proxies_and_moves_slots() {
    let Some(cluster) = Cluster::start(3) else { return };
    let (slot, from) = cluster.place("k");
    let to = (from + 1) % 3;
    let proxy = |n: usize| cluster.nodes[n].proxy.address();
    assert_eq!(Raw::tcp(proxy(from)).run("SET k v"), Reply::ok());
    let moved = |n: usize| format!("MOVED {slot} {}", proxy(n));
    assert_eq!(Raw::tcp(proxy(to)).run("GET k").text(), moved(from));
    cluster.begin_move(slot, from, to);
    assert_eq!(Raw::tcp(proxy(from)).run("GET k"), Reply::bulk("v"));
    cluster.move_keys(slot, from, to);
    let ask = Raw::tcp(proxy(from)).run("GET k").text();
    assert_eq!(ask, format!("ASK {slot} {}", proxy(to)));
    cluster.end_move(slot, to);
    assert_eq!(Raw::tcp(proxy(from)).run("GET k").text(), moved(to));
    assert_eq!(Raw::tcp(proxy(to)).run("GET k"), Reply::bulk("v"));
    cluster.move_slot(slot, to, from);
    assert_eq!(cluster.place("k"), (slot, from));
    cluster.nodes[from].proxy.answer(To::Data, "-CLUSTERDOWN The cluster is down", 1);
    assert!(Raw::tcp(proxy(from)).run("GET k").is_error());
}
