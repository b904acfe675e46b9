//! Publish and subscribe through Redis: whoever uses the same Redis hears it, once and in order,
//! and what is missed while there is no connection is told.

use std::thread;
use std::time::Duration;

use crate::support::proxy::{Cut, Door, Flow};
use crate::support::redis::RedisServer;
use crate::support::redis::cluster::Cluster;
use crate::support::redis::sentinel::{NAME, Sentinels};
use crate::support::tier::Tier;
use crate::support::{Daemon, Raw, Reply, Setup, wait_until};

/// The actor that listens in Redis.
const SUBSCRIBER: &str = "links/redis-subscriber";

/// A number of `INFO redis`.
fn number(daemon: &Daemon, field: &str) -> u64 {
    let info = daemon.connect().run("INFO redis").text();
    let value = info.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("{field}\n{info}"))
}

fn impaired(daemon: &Daemon) -> bool {
    let conditions = daemon.node(SUBSCRIBER).map(|node| node["conditions"].clone());
    conditions.is_some_and(|all| all.as_array().is_some_and(|all| !all.is_empty()))
}

/// Waits until Redis has just so many subscriptions of this daemon's.
#[track_caller]
fn confirmed(daemon: &Daemon, topics: u64) {
    wait_until(&format!("{topics} subscriptions in Redis"), || {
        number(daemon, "redis_pubsub_confirmed") == topics && !impaired(daemon)
    });
}

/// Settings of one who waits for Redis longer than a busy machine takes.
fn patient(setup: Setup, url: &str) -> Setup {
    setup
        .with("redis.url", &format!("{url:?}"))
        .with("redis.timeout", r#""10s""#)
        .with("redis.connect_timeout", r#""10s""#)
        .with("redis.breaker_cool_down", r#""100ms""#)
        .with("redis.breaker_max_cool_down", r#""200ms""#)
}

fn linked(setup: Setup) -> Daemon {
    let daemon = setup.start();
    wait_until("it is linked", || number(&daemon, "redis_links_up") == 2);
    daemon
}

/// A daemon before a server with these settings, and with such ones of its own.
fn tier(redis: &[&str], settings: impl FnOnce(Setup) -> Setup) -> Option<Tier> {
    let redis = RedisServer::listening(redis)?;
    Some(Tier::before(redis, |setup, proxy| {
        settings(patient(setup, &format!("redis://{}", proxy.address())))
    }))
}

/// What the next message says; the name it came by has to be this.
#[track_caller]
fn heard(client: &mut Raw, by: &str) -> String {
    let message = client.receive();
    let items = message.items();
    assert_eq!(items[1].text(), by, "{message:?}");
    items.last().expect("a payload").text()
}

fn failed(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(text) if text.starts_with("TIERDOWN"))
}

#[test]
fn all_who_use_one_redis_hear_each_message_once_and_in_its_publishers_order() {
    const EACH: usize = 200;
    let Some(tier) = tier(&[], |setup| setup) else { return };
    let other = linked(patient(Setup::new(), &format!("redis://{}", tier.redis.address())));
    let connect: [&(dyn Fn() -> Raw + Sync); 3] =
        [&|| tier.daemon.connect(), &|| other.connect(), &|| tier.redis.connect()];
    let mut listeners: Vec<(Raw, &str)> = Vec::new();
    for connect in connect {
        for (line, by) in [("SUBSCRIBE c", "c"), ("PSUBSCRIBE c*", "c*"), ("PSUBSCRIBE ?", "?")] {
            let mut listener = connect();
            listener.run(line);
            listeners.push((listener, by));
        }
    }
    // A daemon is one subscriber, whoever listens there; a client is one.
    let mut publishers: Vec<Raw> = connect.iter().map(|connect| connect()).collect();
    for publisher in &mut publishers {
        assert_eq!(publisher.run("PUBLISH c first"), Reply::Int(9));
        assert_eq!(publisher.run("PUBLISH nobody first"), Reply::Int(0));
    }
    for (listener, by) in &mut listeners {
        (0..3).for_each(|_| assert_eq!(heard(listener, by), "first"));
    }
    let orders: Vec<Vec<String>> = thread::scope(|scope| {
        for (who, mut publisher) in publishers.into_iter().enumerate() {
            scope.spawn(move || {
                for n in 0..EACH {
                    publisher.send(&["PUBLISH", "c", &format!("{who} {n}")]);
                }
                (0..EACH).for_each(|_| assert_eq!(publisher.receive(), Reply::Int(9)));
            });
        }
        let all = listeners.iter_mut().map(|(listener, by)| {
            scope.spawn(|| (0..3 * EACH).map(|_| heard(listener, by)).collect::<Vec<_>>())
        });
        let all: Vec<_> = all.collect();
        all.into_iter().map(|thread| thread.join().expect("it hears all")).collect()
    });
    for order in &orders {
        assert!(*order == orders[0], "two orders of one channel");
        for who in 0..3 {
            let own = order.iter().filter_map(|m| m.strip_prefix(&format!("{who} ")));
            let own: Vec<usize> = own.map(|n| n.parse().expect("a number")).collect();
            assert!(own.is_sorted() && own.len() == EACH, "{who}: {own:?}");
        }
    }
    // Nothing is left over, and what nobody wants any more Redis does not send.
    for (listener, _) in &mut listeners {
        assert_eq!(listener.run("PING").items().first().map(Reply::text), Some("pong".to_owned()));
    }
    drop(listeners);
    confirmed(&tier.daemon, 0);
    confirmed(&other, 0);
    let mut redis = tier.redis.connect();
    wait_until("Redis has no subscriber", || redis.run("PUBLISH c x") == Reply::Int(0));
}

#[test]
fn a_client_is_told_that_it_listens_when_redis_says_so() {
    let Some(tier) = tier(&[], |setup| setup) else { return };
    let (mut client, mut redis) = (tier.daemon.connect(), tier.redis.connect());
    for n in 0..100 {
        client.run(&format!("SUBSCRIBE c{n}"));
        // No wait: it is there.
        assert_eq!(redis.run(&format!("PUBLISH c{n} {n}")), Reply::Int(1));
        assert_eq!(heard(&mut client, &format!("c{n}")), n.to_string());
    }
    // Those who come and go at once find it as they left it.
    let mut other = tier.daemon.connect();
    for n in 0..100 {
        other.run("SUBSCRIBE back");
        assert_eq!(redis.run("PUBLISH back x"), Reply::Int(1), "{n}");
        assert_eq!(heard(&mut other, "back"), "x");
        other.run("UNSUBSCRIBE back");
    }
    // In a transaction, all in their order.
    other.run("MULTI");
    for line in ["SUBSCRIBE m", "PUBLISH m in", "UNSUBSCRIBE m"] {
        assert_eq!(other.run(line), Reply::Simple("QUEUED".into()), "{line}");
    }
    let replies = other.run("EXEC");
    assert_eq!(replies.items()[0].items()[0].text(), "subscribe", "{replies:?}");
    assert_eq!(replies.items()[1], Reply::Int(1));
    assert_eq!(replies.items()[2].items()[0].text(), "unsubscribe");
}

/// Ends the connection to Redis in some way and heals it in another.
#[track_caller]
fn gap(begin: impl FnOnce(&mut Tier), end: impl FnOnce(&mut Tier)) {
    let slow = |setup: Setup| setup.with("redis.timeout", r#""2s""#);
    let Some(mut tier) = tier(&[], slow) else { return };
    let mut client = tier.daemon.connect();
    client.run("SUBSCRIBE c");
    client.run("PSUBSCRIBE d*");
    assert_eq!(tier.daemon.connect().run("PUBLISH c before"), Reply::Int(1));
    assert_eq!(heard(&mut client, "c"), "before");
    begin(&mut tier);
    wait_until("it is noticed", || impaired(&tier.daemon));
    end(&mut tier);
    confirmed(&tier.daemon, 2);
    wait_until("each gap is told once", || {
        let gaps = usize::try_from(number(&tier.daemon, "redis_pubsub_gaps")).expect("a few");
        let told = ["impaired", "listening"].map(|event| tier.daemon.events(SUBSCRIBER, event));
        gaps > 0 && told == [gaps; 2]
    });
    let mut redis = tier.redis.connect();
    assert_eq!(redis.run("PUBLISH c after"), Reply::Int(1));
    assert_eq!(redis.run("PUBLISH dd after"), Reply::Int(1));
    assert_eq!(
        (heard(&mut client, "c"), heard(&mut client, "d*")),
        ("after".into(), "after".into())
    );
    wait_until("messages go out", || tier.daemon.connect().run("PUBLISH dd out") == Reply::Int(1));
    assert_eq!(heard(&mut client, "d*"), "out");
}

#[test]
fn a_connection_that_is_cut_is_made_again_and_the_gap_is_told() {
    gap(
        |tier| {
            tier.proxy.door(Door::Refused);
            tier.proxy.cut(Cut::Reset);
            let mut client = tier.daemon.connect();
            wait_until("nothing is published", || failed(&client.run("PUBLISH c lost")));
        },
        |tier| tier.proxy.heal(),
    );
}

#[test]
fn a_redis_that_hangs_refuses_messages_in_time_and_is_found_out() {
    gap(
        |tier| {
            tier.redis.pause();
            let mut client = tier.daemon.connect();
            assert!(failed(&client.run("PUBLISH dd late")), "it is not known to be published");
        },
        |tier| {
            tier.redis.resume();
        },
    );
}

#[test]
fn garbage_ends_the_connection_and_is_nobodys_message() {
    gap(
        |tier| tier.proxy.replies(Flow::Replace(b">3\r\n$7\r\nmessage\r\n$1\r\n")),
        |tier| {
            tier.proxy.cut(Cut::Close);
            tier.proxy.replies(Flow::Pass);
        },
    );
}

#[test]
fn a_redis_that_is_another_one_is_subscribed_to_again() {
    gap(|tier| tier.redis.kill(), |tier| tier.redis.restart());
}

#[test]
fn who_subscribes_while_redis_is_away_is_not_kept_waiting_and_hears_what_comes_later() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    let tier = Tier::launch(redis, |setup, proxy| {
        proxy.door(Door::Refused);
        setup.with("redis.url", &format!(r#""redis://{}""#, proxy.address()))
    });
    let mut client = tier.daemon.connect();
    client.run("SUBSCRIBE c");
    client.run("SUBSCRIBE gone");
    client.run("UNSUBSCRIBE gone");
    assert_eq!(number(&tier.daemon, "redis_pubsub_unconfirmed"), 2);
    assert!(impaired(&tier.daemon));
    assert!(failed(&tier.daemon.connect().run("PUBLISH c lost")));
    tier.proxy.heal();
    confirmed(&tier.daemon, 1);
    assert_eq!(tier.redis.connect().run("PUBLISH c x"), Reply::Int(1));
    assert_eq!(heard(&mut client, "c"), "x");
}

#[test]
fn what_redis_does_not_allow_is_refused_in_its_words() {
    let Some(redis) = RedisServer::listening(&[]) else { return };
    redis.connect().run("ACL SETUSER wall on >secret ~* +@all resetchannels &ok* &o*");
    let tier = Tier::before(redis, |setup, proxy| {
        patient(setup, &format!("redis://wall:secret@{}", proxy.address()))
    });
    let mut client = tier.daemon.connect();
    client.run("SUBSCRIBE ok");
    for line in ["SUBSCRIBE ok no", "PSUBSCRIBE n*", "PSUBSCRIBE ok1*", "PUBLISH no x"] {
        let reply = tier.daemon.connect().run(line);
        assert!(matches!(&reply, Reply::Error(text) if text.starts_with("NOPERM")), "{reply:?}");
    }
    let mut by_pattern = tier.daemon.connect();
    by_pattern.run("PSUBSCRIBE o*");
    assert_eq!(tier.daemon.connect().run("PUBLISH ok x"), Reply::Int(2));
    assert_eq!((heard(&mut client, "ok"), heard(&mut by_pattern, "o*")), ("x".into(), "x".into()));
    // Of a refused command nothing is left, here or there.
    confirmed(&tier.daemon, 2);
    assert_eq!(number(&tier.daemon, "redis_pubsub_subscriptions"), 2);
    // What is taken away later is told, and comes back by itself.
    let mut redis = tier.redis.connect();
    redis.run("ACL SETUSER wall resetchannels &ok*");
    wait_until("it is told", || impaired(&tier.daemon));
    wait_until("it is refused", || number(&tier.daemon, "redis_pubsub_refused") == 1);
    redis.run("ACL SETUSER wall &o*");
    confirmed(&tier.daemon, 2);
}

#[test]
fn users_hear_and_tell_the_channels_that_their_rules_name() {
    const ANN: &str =
        "[[users]]\nname = \"ann\"\nnopass = true\nrules = \"~* +@all &news:* &chat\"\n";
    let Some(tier) = tier(&[], |setup| setup.with_tables(ANN)) else { return };
    let ann = || {
        let mut client = tier.daemon.connect();
        assert_eq!(client.run("AUTH ann pw"), Reply::ok());
        client
    };
    let refused = |line: &str| {
        let reply = ann().run(line);
        matches!(&reply, Reply::Error(text) if text.starts_with("NOPERM"))
    };
    for line in [
        "SUBSCRIBE other",
        "SUBSCRIBE chat other",
        "PSUBSCRIBE *",
        "PSUBSCRIBE news:a*",
        "SSUBSCRIBE other",
        "PUBLISH other x",
        "PUBLISH chats x",
        "SPUBLISH other x",
    ] {
        assert!(refused(line), "{line}");
    }
    let mut client = ann();
    client.run("SUBSCRIBE news:1 chat");
    client.receive();
    client.run("PSUBSCRIBE news:*");
    // Only what is allowed was asked of Redis.
    confirmed(&tier.daemon, 3);
    assert_eq!(ann().run("PUBLISH news:2 x"), Reply::Int(1));
    assert_eq!(heard(&mut client, "news:*"), "x");
    assert_eq!(tier.redis.connect().run("PUBLISH other x"), Reply::Int(0));
}

#[test]
fn the_way_through_redis_opens_and_closes_while_clients_listen() {
    let Some(mut tier) = tier(&[], |setup| setup.with("redis.pubsub", "false")) else { return };
    let (mut client, mut publisher) = (tier.daemon.connect(), tier.daemon.connect());
    let mut redis = tier.redis.connect();
    client.run("SUBSCRIBE c");
    assert_eq!(redis.run("PUBLISH c theirs"), Reply::Int(0));
    assert_eq!(publisher.run("PUBLISH c ours"), Reply::Int(1));
    assert_eq!(heard(&mut client, "c"), "ours");
    tier.daemon.configure("redis.pubsub", "true");
    confirmed(&tier.daemon, 1);
    assert_eq!(redis.run("PUBLISH c theirs"), Reply::Int(1));
    assert_eq!(publisher.run("PUBLISH c ours"), Reply::Int(1));
    assert_eq!(
        (heard(&mut client, "c"), heard(&mut client, "c")),
        ("theirs".into(), "ours".into())
    );
    tier.daemon.configure("redis.pubsub", "false");
    confirmed(&tier.daemon, 0);
    assert_eq!(publisher.run("PUBLISH c last"), Reply::Int(1));
    assert_eq!(heard(&mut client, "c"), "last");
}

#[test]
fn events_of_keys_stay_those_of_this_daemon_and_come_once() {
    let tier = tier(&["--notify-keyspace-events", "KEA"], |setup| {
        setup.with("redis.write", r#""through""#).with("server.notify_keyspace_events", r#""Kg$""#)
    });
    let Some(tier) = tier else { return };
    let mut client = tier.daemon.connect();
    client.run("PSUBSCRIBE __keyspace@0__:* __key*");
    client.receive();
    // Redis has it, and has said so, when this is answered.
    assert_eq!(tier.daemon.connect().run("SET k v"), Reply::ok());
    assert_eq!(heard(&mut client, "__key*"), "set");
    assert_eq!(heard(&mut client, "__keyspace@0__:*"), "set");
    tier.redis.connect().run("PUBLISH __keys x");
    assert_eq!(heard(&mut client, "__key*"), "x");
    assert_eq!(number(&tier.daemon, "redis_pubsub_confirmed"), 1);
}

/// Redis expires the same keys at the same time, and announces that.
#[test]
fn every_key_that_expires_here_is_told_of_once_although_redis_expires_it_first() {
    let tier = tier(&[], |setup| {
        setup.with("redis.write", r#""through""#).with("server.notify_keyspace_events", r#""Ex""#)
    });
    let Some(tier) = tier else { return };
    tier.redis.connect().run("CONFIG SET hz 100");
    let mut listener = tier.daemon.connect();
    listener.run("SUBSCRIBE __keyevent@0__:expired");
    let mut client = tier.daemon.connect();
    for n in 0..100 {
        assert_eq!(client.run(&format!("SET k{n} v PX {}", 300 + n)), Reply::ok());
    }
    let mut told: Vec<String> =
        (0..100).map(|_| heard(&mut listener, "__keyevent@0__:expired")).collect();
    told.sort();
    let mut due: Vec<String> = (0..100).map(|n| format!("k{n}")).collect();
    due.sort();
    assert_eq!(told, due);
    assert!(client.run("INFO stats").text().contains("expired_keys:100\r\n"));
}

#[test]
fn a_subscriber_that_does_not_read_is_closed_and_the_others_hear_on() {
    let tier = tier(&[], |setup| setup.with("server.pubsub_buffer", r#""1MB""#));
    let Some(tier) = tier else { return };
    let (mut deaf, mut listener) = (tier.daemon.connect(), tier.daemon.connect());
    deaf.run("SUBSCRIBE c");
    listener.run("SUBSCRIBE c");
    let mut redis = tier.redis.connect();
    let large = "x".repeat(100_000);
    let closed = || {
        number(&tier.daemon, "redis_pubsub_gaps") == 0
            && tier.daemon.log_text().contains("server.pubsub_buffer (1000000 bytes)")
    };
    let mut rounds = 0;
    while !closed() {
        assert_eq!(redis.call(&["PUBLISH", "c", &large]), Reply::Int(1));
        assert_eq!(heard(&mut listener, "c"), large);
        rounds += 1;
        assert!(rounds < 5_000, "it is never closed");
    }
    assert_eq!(redis.run("PUBLISH c on"), Reply::Int(1));
    assert_eq!(heard(&mut listener, "c"), "on");
}

#[test]
fn in_a_cluster_one_node_is_enough_and_another_takes_its_place() {
    let Some(cluster) = Cluster::start(3) else { return };
    let url = format!("redis://{}", cluster.nodes[0].proxy.address());
    let daemon = linked(patient(Setup::new(), &url).with("redis.cluster", "true"));
    let mut client = daemon.connect();
    client.run("SUBSCRIBE c");
    client.run("PSUBSCRIBE d*");
    confirmed(&daemon, 2);
    for node in 0..3 {
        cluster.control(node).run(&format!("PUBLISH c {node}"));
        assert_eq!(heard(&mut client, "c"), node.to_string());
    }
    let mut publisher = daemon.connect();
    for n in 0..20 {
        // Whichever node has it: each counts its own subscribers.
        assert!(matches!(publisher.run(&format!("PUBLISH d{n} {n}")), Reply::Int(0 | 1)));
        assert_eq!(heard(&mut client, "d*"), n.to_string());
    }
    // The node in redis.url goes.
    cluster.nodes[0].proxy.door(Door::Refused);
    cluster.nodes[0].proxy.cut(Cut::Reset);
    wait_until("another node is asked", || {
        cluster.control(1).run("PUBLISH c moved");
        number(&daemon, "redis_pubsub_gaps") == 1 && !impaired(&daemon)
    });
    assert!(!cluster.control(2).run("PUBLISH c last").is_error());
    while heard(&mut client, "c") != "last" {}
}

#[test]
fn after_a_failover_by_sentinel_the_new_master_is_listened_to() {
    let Some(redis) = Sentinels::start(1, Duration::from_secs(20)) else { return };
    let addresses: Vec<String> =
        redis.addresses().iter().map(|address| format!("{:?}", address.to_string())).collect();
    let sentinels = format!("[{}]", addresses.join(", "));
    let setup = patient(Setup::new(), &format!("redis://{NAME}/0"));
    let daemon = linked(setup.with("redis.sentinels", &sentinels));
    let mut client = daemon.connect();
    client.run("SUBSCRIBE c");
    confirmed(&daemon, 1);
    redis.fail_over();
    // The old master tells its clients nothing: commands find out, and the subscriber by them.
    let mut publisher = daemon.connect();
    wait_until("messages come from the new master", || {
        publisher.run("SET k v");
        publisher.run("PUBLISH c x");
        redis.nodes[1].server.connect().run("PUBLISH c new").int() == 1
    });
    while heard(&mut client, "c") != "new" {}
}
