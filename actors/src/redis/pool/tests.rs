//! A pool in a real tree, against a server of the test's own.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::*;
use crate::redis::fake::{MS, Mode, Server, settings, tree};
use crate::redis::{Executed, FailureKind};
use crate::supervise::Tree;

async fn start(settings: LinkSettings, links: usize) -> (Pool, Tree) {
    let pool = Pool::new(settings);
    let tree = tree(&[(&pool, links)], &Conditions::new()).await;
    (pool, tree)
}

async fn up(pool: &Pool, links: usize) {
    let within = Duration::from_secs(10);
    let mut live = pool.live();
    let reached = tokio::time::timeout(within, live.wait_for(|n| *n == links)).await;
    assert!(reached.is_ok(), "{:?}", pool.state());
}

fn request(once: Once) -> Request {
    Request { deadline: Instant::now() + 200 * MS, once }
}

fn get(key: &str) -> Cmd {
    let mut cmd = redis::cmd("GET");
    cmd.arg(key);
    cmd
}

fn set() -> Cmd {
    let mut cmd = redis::cmd("SET");
    cmd.arg("k").arg("v");
    cmd
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_share_links_and_each_gets_its_own_answer() {
    let server = Server::start().await;
    let patient = LinkSettings { timeout: 10_000 * MS, ..settings(&server.url) };
    let (pool, _tree) = start(patient, 2).await;
    up(&pool, 2).await;
    let calls: Vec<_> = (0..500)
        .map(|i| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let key = format!("key{i}");
                // Five hundred at once take their time on a busy machine.
                let deadline = Instant::now() + Duration::from_secs(10);
                let request = Request { deadline, once: Once::OrMore };
                let value = pool.run(&get(&key), request).await.expect("an answer");
                assert_eq!(value, Value::BulkString(key.into_bytes()));
            })
        })
        .collect();
    for call in calls {
        call.await.expect("it is right");
    }
    assert_eq!(server.accepted(), 2);
    assert_eq!(pool.stats().commands, 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_is_an_answer_is_handed_on() {
    let server = Server::start().await;
    let (pool, _tree) = start(settings(&server.url), 1).await;
    up(&pool, 1).await;
    let answer = pool.run(&redis::cmd("WRONG"), request(Once::AtMost)).await.expect("an answer");
    assert!(matches!(answer, Value::ServerError(e) if e.code() == "WRONGTYPE"));
    assert_eq!(server.accepted(), 1, "the link is whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_is_found_out_within_the_timeout_and_let_go() {
    let server = Server::start().await;
    let (pool, _tree) = start(settings(&server.url), 2).await;
    up(&pool, 2).await;
    server.set(Mode::Hang);
    let began = Instant::now();
    let failure = pool.run(&get("a"), request(Once::OrMore)).await.expect_err("it hangs");
    assert_eq!((failure.kind, failure.executed), (FailureKind::Deadline, Executed::Unknown));
    assert!(began.elapsed() < 400 * MS, "{:?}", began.elapsed());
    // By commands or by PINGs, within a second both are gone and the breaker is open.
    let opened = async {
        while !matches!(pool.state(), PoolState::Open { .. }) {
            tokio::time::sleep(5 * MS).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(3), opened).await.expect("it opens");
    let began = Instant::now();
    let failure = pool.run(&get("a"), request(Once::OrMore)).await.expect_err("it is open");
    if matches!(failure.kind, FailureKind::BreakerOpen { .. }) {
        assert!(began.elapsed() < 100 * MS, "refused at once");
    }
    server.set(Mode::Answer);
    up(&pool, 2).await;
    pool.run(&get("a"), request(Once::OrMore)).await.expect("it is back");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_is_down_one_link_tries_and_the_others_wait() {
    let server = Server::start().await;
    let (pool, _tree) = start(settings(&server.url), 8).await;
    up(&pool, 8).await;
    server.set(Mode::Close);
    up(&pool, 0).await;
    let before = server.accepted();
    tokio::time::sleep(500 * MS).await;
    let trials = server.accepted() - before;
    // One link: two tries until the breaker opens, then one after 100 ms and each 200 ms.
    assert!((1..=8).contains(&trials), "{trials} trials");
    server.set(Mode::Answer);
    up(&pool, 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_executed_is_not_sent_twice() {
    let server = Server::start().await;
    let (pool, _tree) = start(settings(&server.url), 1).await;
    up(&pool, 1).await;
    server.set(Mode::Close);
    let failure = pool.run(&set(), request(Once::AtMost)).await.expect_err("it is closed");
    assert_eq!(failure.executed, Executed::Unknown);
    assert_eq!(pool.stats().retries, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_s_refusal_is_tried_again_on_a_fresh_link() {
    let server = Server::start().await;
    let (pool, _tree) = start(settings(&server.url), 2).await;
    up(&pool, 2).await;
    server.set(Mode::Deposed(server.accepted()));
    let patient = Request { deadline: Instant::now() + Duration::from_secs(5), once: Once::AtMost };
    pool.run(&set(), patient).await.expect("nobody noticed");
    assert_eq!(server.sets.load(SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_and_loading_never_become_an_answer() {
    for (mode, kind) in
        [(Mode::Garbage, FailureKind::Garbage), (Mode::Loading, FailureKind::Loading)]
    {
        let server = Server::start().await;
        let patience = 10_000 * MS;
        let once = LinkSettings { retry_share: 0, timeout: patience, ..settings(&server.url) };
        let (pool, _tree) = start(once, 1).await;
        up(&pool, 1).await;
        server.set(mode);
        let request = Request { deadline: Instant::now() + patience, once: Once::OrMore };
        let failure = pool.run(&get("a"), request).await.expect_err("no answer");
        assert_eq!(failure.kind, kind, "{failure}");
        server.set(Mode::Answer);
        up(&pool, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_settings_switch_links_over_without_an_error() {
    let (old, new) = (Server::start().await, Server::start().await);
    let (pool, _tree) = start(settings(&old.url), 2).await;
    up(&pool, 2).await;
    let stop = Arc::new(AtomicUsize::new(0));
    let (caller, stopped) = (pool.clone(), Arc::clone(&stop));
    let calls = Arc::new(AtomicUsize::new(0));
    let called = Arc::clone(&calls);
    let load = tokio::spawn(async move {
        while stopped.load(SeqCst) == 0 {
            caller.run(&get("a"), request(Once::OrMore)).await.expect("no error");
            called.fetch_add(1, SeqCst);
        }
    });
    while calls.load(SeqCst) == 0 {
        tokio::time::sleep(MS).await;
    }
    pool.configure(settings(&new.url));
    tokio::time::timeout(Duration::from_secs(5), async {
        while new.accepted() < 2 {
            tokio::time::sleep(MS).await;
        }
    })
    .await
    .expect("both have moved");
    stop.store(1, SeqCst);
    load.await.expect("no error");
    assert_eq!(old.accepted(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_settings_leave_the_old_connection_in_service() {
    let server = Server::start().await;
    let (pool, _tree) = start(settings(&server.url), 1).await;
    up(&pool, 1).await;
    // A port that nobody listens on.
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("redis://{}", free.local_addr().expect("bound"));
    drop(free);
    pool.configure(settings(&url));
    for _ in 0..20 {
        pool.run(&get("a"), request(Once::OrMore)).await.expect("the old one serves");
        tokio::time::sleep(5 * MS).await;
    }
    assert_eq!(pool.state(), PoolState::Up(1));
    let told = || pool.trouble().is_some_and(|trouble| trouble.why.contains("the old one stays"));
    tokio::time::timeout(Duration::from_secs(5), async {
        while !told() {
            tokio::time::sleep(MS).await;
        }
    })
    .await
    .expect("it is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_connection_is_replaced_while_it_serves() {
    let server = Server::start().await;
    let aged = LinkSettings { max_age: Some(100 * MS), ..settings(&server.url) };
    let (pool, _tree) = start(aged, 1).await;
    up(&pool, 1).await;
    tokio::time::timeout(Duration::from_secs(5), async {
        while pool.stats().links[0].reconnects < 2 {
            pool.run(&get("a"), request(Once::OrMore)).await.expect("no error");
        }
    })
    .await
    .expect("it is replaced");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_link_makes_callers_wait_and_counts_it() {
    let server = Server::start().await;
    let (pool, _tree) = start(LinkSettings { in_flight: 1, ..settings(&server.url) }, 1).await;
    up(&pool, 1).await;
    server.set(Mode::Hang);
    let first = pool.clone();
    let first = tokio::spawn(async move { first.run(&get("a"), request(Once::OrMore)).await });
    while pool.stats().links[0].in_use == 0 {
        tokio::task::yield_now().await;
    }
    let short = Request { deadline: Instant::now() + 20 * MS, once: Once::OrMore };
    let failure = pool.run(&get("b"), short).await.expect_err("no room");
    assert_eq!((failure.kind, failure.executed), (FailureKind::Crowded, Executed::No));
    assert_eq!(pool.stats().links[0].waits, 1);
    assert!(first.await.expect("no panic").is_err());
}
