use std::net::SocketAddr;
use std::time::Duration;

use super::*;

fn new_client() -> NewClient {
    let peer: SocketAddr = "10.0.0.9:4242".parse().expect("an address");
    let local: SocketAddr = "10.0.0.1:6380".parse().expect("an address");
    NewClient { endpoints: Endpoints::Tcp { peer, local }, fd: 9, now: 1_000_000 }
}

#[test]
fn the_registry_is_bounded_and_an_entry_goes_with_its_connection() {
    let clients = Clients::new(2);
    let first = clients.register(new_client()).expect("room");
    let second = clients.register(new_client()).expect("room");
    assert_eq!(clients.register(new_client()).expect_err("full"), Full);
    assert_eq!((first.id, second.id, clients.len()), (1, 2, 2));
    drop(first);
    assert!(clients.get(1).is_none());
    let third = clients.register(new_client()).expect("room again");
    assert_eq!(third.id, 3, "ids are never given twice");
    assert_eq!(clients.all().iter().map(|c| c.id).collect::<Vec<_>>(), [2, 3]);
    clients.set_max(1);
    assert_eq!(clients.len(), 2, "a lower limit closes nobody");
    drop(second);
    assert!(clients.register(new_client()).is_err());
    assert_eq!(clients.total(), 3);
}

#[test]
fn a_line_of_client_list_has_redis_fields_in_redis_order() {
    let clients = Clients::new(2);
    let client = clients.register(new_client()).expect("room");
    client.set_name("worker");
    client.set_lib_name("redis-rs");
    client.set_lib_ver("1.0");
    client.note_db(3);
    client.note_proto(crate::resp::reply::Proto::V3);
    client.note_transaction(Some(2), 1);
    client.note_traits(Traits { no_evict: true, no_touch: true });
    client.note_buffers(26, 100);
    client.note_round(1_004_000, CommandName::of_sub("client", "list"));
    let mut line = String::new();
    client.describe(1_010_999, &mut line);
    let memory = 126 + size_of::<ClientInfo>();
    assert_eq!(
        line,
        format!(
            "id=1 addr=10.0.0.9:4242 laddr=10.0.0.1:6380 fd=9 name=worker age=10 idle=6 \
             flags=xeT db=3 sub=0 psub=0 ssub=0 multi=2 watch=1 qbuf=26 qbuf-free=0 argv-mem=0 \
             multi-mem=0 rbs=0 rbp=0 obl=100 oll=0 omem=100 tot-mem={memory} events=r \
             cmd=client|list user=default redir=-1 resp=3 lib-name=redis-rs lib-ver=1.0"
        )
    );
    assert!(client.in_transaction());
    client.note_transaction(None, 0);
    client.note_traits(Traits::default());
    client.note_round(1_010_999, CommandName::NONE);
    line.clear();
    client.describe(1_010_999, &mut line);
    assert!(line.contains(" idle=0 flags=N ") && line.contains(" cmd=NULL "), "{line}");
}

#[test]
fn a_clock_that_jumps_back_makes_no_age_wrap() {
    let clients = Clients::new(1);
    let client = clients.register(new_client()).expect("room");
    let mut line = String::new();
    client.describe(5, &mut line);
    assert!(line.contains(" age=0 idle=0 "), "{line}");
}

#[test]
fn a_unix_socket_is_local_and_flagged() {
    let clients = Clients::new(1);
    let endpoints = Endpoints::Unix("/run/seawall.sock".into());
    assert!(endpoints.is_local());
    let client = clients.register(NewClient { endpoints, fd: 1, now: 0 }).expect("room");
    let mut line = String::new();
    client.describe(0, &mut line);
    assert!(line.contains("addr=/run/seawall.sock:0 laddr=/run/seawall.sock:0 "), "{line}");
    assert!(line.contains(" flags=U "), "{line}");
}

#[tokio::test]
async fn a_kill_is_heard_before_and_after_waiting() {
    let clients = Clients::new(1);
    let client = clients.register(new_client()).expect("room");
    let waiting = tokio::spawn({
        let client = Arc::clone(&client);
        async move { client.killed().await }
    });
    tokio::task::yield_now().await;
    assert!(!client.is_killed());
    client.kill();
    waiting.await.expect("it ended");
    client.killed().await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_writes_lets_reads_pass_and_ends_by_itself() {
    let gate = PauseGate::default();
    assert!(!gate.holds(true));
    gate.close(Pause::Writes, Duration::from_secs(5));
    assert!(gate.holds(true) && !gate.holds(false));
    let begun = tokio::time::Instant::now();
    gate.pass(false).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    gate.pass(true).await;
    assert!(begun.elapsed() >= Duration::from_secs(5));
    assert!(!gate.holds(true));
}

#[tokio::test(start_paused = true)]
async fn a_second_pause_only_widens_and_prolongs() {
    let gate = PauseGate::default();
    gate.close(Pause::All, Duration::from_secs(2));
    gate.close(Pause::Writes, Duration::from_secs(9));
    assert!(gate.holds(false));
    let begun = tokio::time::Instant::now();
    gate.pass(false).await;
    assert!(begun.elapsed() >= Duration::from_secs(9));
    gate.close(Pause::Writes, Duration::from_millis(u64::MAX));
    assert!(gate.holds(true), "an end beyond the clock is no panic");
}

#[tokio::test(start_paused = true)]
async fn unpause_wakes_those_who_wait() {
    let gate = Arc::new(PauseGate::default());
    gate.close(Pause::All, Duration::from_secs(3600));
    let begun = tokio::time::Instant::now();
    let waiting = tokio::spawn({
        let gate = Arc::clone(&gate);
        async move { gate.pass(true).await }
    });
    tokio::task::yield_now().await;
    gate.open();
    waiting.await.expect("it ended");
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[test]
fn every_command_has_a_name_of_its_own() {
    for command in crate::resp::commands::all() {
        assert_eq!(CommandName::of(command).to_string(), command.name);
        for sub in command.subcommands {
            let full = format!("{}|{}", command.name, sub.name);
            assert_eq!(CommandName::of_sub(command.name, sub.name).to_string(), full);
        }
    }
    assert_eq!(CommandName::of_sub("no", "such"), CommandName::NONE);
}
