//! The links are led to another Redis, or there by another way, while clients are served: a server,
//! a Cluster, Sentinels. None of the clients gets an error, and nothing goes to where nobody is any
//! more.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

use super::support::proxy::{Door, Proxy};
use super::support::redis::RedisServer;
use super::support::redis::cluster::Cluster;
use super::support::redis::sentinel::{NAME, Sentinels};
use super::support::tier::{CONNECTIONS, LINKS, wait_in_step};
use super::support::{Daemon, Raw, Reply, Setup, wait_until};

/// What a client writes in turn; few enough to be written often.
const KEYS: u64 = 20;
/// Keys of different slots.
const SLOTS: usize = 24;
const PACE: Duration = Duration::from_millis(2);

/// Somewhere that the links may lead to.
struct Place<'a> {
    /// `redis.url`, and what else there is to be set.
    settings: Vec<(&'static str, String)>,
    ways: Vec<Arc<Proxy>>,
    control: Box<dyn Fn() -> Raw + 'a>,
}

/// What none of the settings says that a place does not mention.
const NEITHER: [(&str, &str); 4] = [
    ("redis.cluster", "false"),
    ("redis.sentinels", "[]"),
    ("redis.sentinel_username", r#""""#),
    ("redis.sentinel_password_file", r#""""#),
];

impl<'a> Place<'a> {
    fn server(redis: &'a RedisServer) -> Self {
        redis.connect();
        let way = Arc::new(Proxy::before(redis.address()));
        let url = format!(r#""redis://{}""#, way.address());
        let settings = vec![("redis.url", url)];
        Self { settings, ways: vec![way], control: Box::new(|| redis.connect()) }
    }

    fn cluster(cluster: &'a Cluster) -> Self {
        let ways: Vec<_> = cluster.nodes.iter().map(|node| Arc::clone(&node.proxy)).collect();
        let url = format!(r#""redis://{}""#, ways[0].address());
        let settings = vec![("redis.url", url), ("redis.cluster", "true".to_owned())];
        Self { settings, ways, control: Box::new(|| cluster.connect()) }
    }

    fn sentinels(redis: &'a Sentinels, name: &str) -> Self {
        let addresses: Vec<_> = redis.addresses().iter().map(ToString::to_string).collect();
        let url = format!(r#""redis://{name}/0""#);
        let settings = vec![("redis.url", url), ("redis.sentinels", format!("{addresses:?}"))];
        let ways = redis.nodes.iter().map(|node| Arc::clone(&node.proxy)).collect();
        Self { settings, ways, control: Box::new(|| redis.nodes[0].server.connect()) }
    }

    fn lead_there(&self, daemon: &mut Daemon) {
        let ours = self.settings.iter().map(|(key, value)| (*key, value.as_str()));
        daemon.configure_together(&NEITHER.into_iter().chain(ours).collect::<Vec<_>>());
    }

    fn door(&self, door: Door) {
        self.ways.iter().for_each(|way| way.door(door));
    }
}

/// Clients that go on while Redis is another; every answer is the one that is due.
struct Clients {
    stop: Arc<AtomicBool>,
    rounds: Vec<Arc<AtomicU64>>,
    threads: Vec<JoinHandle<BTreeMap<String, Option<String>>>>,
}

impl Clients {
    fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let rounds: Vec<Arc<AtomicU64>> = (0..2).map(|_| Arc::default()).collect();
        let threads = rounds.iter().cloned().enumerate().map(|(id, rounds)| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || serve_oneself(id, Raw::tcp(address), &stop, &rounds))
        });
        Self { threads: threads.collect(), stop, rounds }
    }

    /// Waits until each has done something more.
    fn go_on(&self) {
        let before: Vec<u64> = self.rounds.iter().map(|rounds| rounds.load(SeqCst)).collect();
        wait_until("every client goes on", || {
            self.threads.iter().any(JoinHandle::is_finished)
                || self.rounds.iter().zip(&before).all(|(now, then)| now.load(SeqCst) > then + 30)
        });
    }

    /// What the keys are to hold.
    fn finish(self) -> BTreeMap<String, Option<String>> {
        self.stop.store(true, SeqCst);
        self.threads.into_iter().flat_map(|t| t.join().expect("every answer is right")).collect()
    }
}

fn serve_oneself(
    id: usize,
    mut client: Raw,
    stop: &AtomicBool,
    rounds: &AtomicU64,
) -> BTreeMap<String, Option<String>> {
    let mut known: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut round = 0;
    while !stop.load(SeqCst) {
        round += 1;
        let key = format!("w{id}:{}", round * 7 % KEYS);
        let held = known.get(&key).cloned().flatten();
        assert_eq!(
            client.run(&format!("GET {key}")),
            held.map_or(Reply::Nil, Reply::bulk),
            "{key}"
        );
        let value = round.to_string();
        assert_eq!(client.run(&format!("SET {key} {value}")), Reply::ok());
        known.insert(key, Some(value.clone()));
        assert_eq!(client.run(&format!("INCR c{id}")), Reply::Int(round as i64));
        known.insert(format!("c{id}"), Some(value));
        // What Redis runs: each Redis has a list of its own.
        let length = client.run(&format!("RPUSH l{id}:{} x", round % KEYS));
        assert!(matches!(length, Reply::Int(1..)), "{length:?}");
        rounds.fetch_add(1, SeqCst);
        std::thread::sleep(PACE);
    }
    known
}

/// Lists, in different slots, that are pushed to now: they are `here`, and nowhere else.
#[track_caller]
fn push(client: &mut Raw, name: &str, here: &Place<'_>, elsewhere: &Place<'_>) {
    let (mut here, mut elsewhere) = ((here.control)(), (elsewhere.control)());
    for n in 0..SLOTS {
        let list = format!("{name}{{{n}}}");
        assert_eq!(client.run(&format!("RPUSH {list} x")), Reply::Int(1), "{list}");
        assert_eq!(
            here.run(&format!("LLEN {list}")),
            Reply::Int(1),
            "{list} is where the links are"
        );
        assert_eq!(elsewhere.run(&format!("LLEN {list}")), Reply::Int(0), "{list} is elsewhere");
    }
}

/// Leads the links from the first place to each of the others, which cannot be reached at first.
fn go_round(places: &[Place<'_>]) {
    let patience = r#""20s""#;
    let setup = Setup::new()
        .with("redis.timeout", patience)
        .with("redis.connect_timeout", patience)
        .with("redis.ping_every", r#""50ms""#)
        .with("redis.links", &LINKS.to_string());
    let first = places.first().expect("a place").settings.iter();
    let mut daemon = first.fold(setup, |setup, (key, value)| setup.with(key, value)).start();
    let mut client = daemon.connect();
    wait_in_step(&mut client);
    let clients = Clients::start(daemon.resp());
    clients.go_on();
    for (turn, pair) in places.windows(2).enumerate() {
        let [old, new] = pair else { unreachable!("pairs") };
        push(&mut client, &format!("before{turn}"), old, new);
        let said = |daemon: &Daemon, message: &str| daemon.log_text().matches(message).count();
        let [stays, fresh] = ["the old one stays", "a fresh connection to Redis"];
        let (stayed, moved) = (said(&daemon, stays), said(&daemon, fresh));
        new.door(Door::Refused);
        new.lead_there(&mut daemon);
        let all = usize::try_from(CONNECTIONS).expect("few");
        wait_until("none can move", || said(&daemon, stays) >= stayed + all);
        // Meanwhile each looks whether its connection lives, more than once.
        clients.go_on();
        push(&mut client, &format!("still{turn}"), old, new);
        wait_in_step(&mut client);
        assert_eq!(client.run(&format!("SET turn old{turn}")), Reply::ok());
        wait_in_step(&mut client);
        assert_eq!((old.control)().run("GET turn"), Reply::bulk(format!("old{turn}")));
        new.door(Door::Open);
        wait_until("all have moved", || said(&daemon, fresh) >= moved + all);
        clients.go_on();
        push(&mut client, &format!("after{turn}"), new, old);
        assert_eq!(client.run(&format!("SET turn new{turn}")), Reply::ok());
        wait_in_step(&mut client);
        assert_eq!((new.control)().run("GET turn"), Reply::bulk(format!("new{turn}")));
        assert_eq!((old.control)().run("GET turn"), Reply::bulk(format!("old{turn}")));
    }
    let due = clients.finish();
    wait_in_step(&mut client);
    let mut there = (places.last().expect("a place").control)();
    for (key, value) in due {
        let due = value.map_or(Reply::Nil, Reply::bulk);
        assert_eq!(client.run(&format!("GET {key}")), due, "{key} in Seawall");
        assert_eq!(there.run(&format!("GET {key}")), due, "{key} in Redis");
    }
    let crashes = (0..LINKS).map(|n| daemon.events(&format!("links/redis-link-{n}"), "restarting"));
    assert_eq!(crashes.sum::<usize>(), 0);
}

#[test]
fn a_cluster_takes_the_place_of_a_server_another_that_of_the_first_and_a_server_again() {
    let [Some(one), Some(two)] = [2, 2].map(Cluster::start) else { return };
    let Some(server) = RedisServer::listening(&[]) else { return };
    go_round(&[
        Place::server(&server),
        Place::cluster(&one),
        Place::cluster(&two),
        Place::server(&server),
    ]);
}

#[test]
fn sentinels_are_asked_from_now_on_for_another_master_and_not_any_more() {
    let watch = |()| Sentinels::start(1, Duration::from_secs(30));
    let [Some(one), Some(two)] = [(), ()].map(watch) else { return };
    let Some(server) = RedisServer::listening(&[]) else { return };
    let mut sentinel = two.sentinels[0].connect();
    assert_eq!(sentinel.run("ACL SETUSER wall on >brick ~* &* +@all"), Reply::ok());
    assert_eq!(sentinel.run("ACL SETUSER default off"), Reply::ok());
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "brick\n").expect("written");
    let login = [
        ("redis.sentinel_username", r#""wall""#.to_owned()),
        ("redis.sentinel_password_file", format!("{:?}", file.path())),
    ];
    let mut guarded = Place::sentinels(&two, NAME);
    guarded.settings.extend(login);
    go_round(&[
        Place::server(&server),
        Place::sentinels(&one, NAME),
        guarded,
        Place::server(&server),
    ]);
}

/// As if its time was over: nobody pushes any more to where it waits.
#[test]
fn who_waits_in_a_redis_comes_back_when_the_links_move_and_waits_in_the_next() {
    let servers = [(); 2].map(|()| RedisServer::listening(&[]));
    let [Some(one), Some(two)] = &servers else { return };
    let [old, new] = [Place::server(one), Place::server(two)];
    let setup = Setup::new().with("redis.timeout", r#""20s""#);
    let url = &old.settings[0].1;
    let mut daemon = setup.with("redis.url", url).start();
    let [mut waiting, mut client] = [daemon.connect(), daemon.connect()];
    wait_in_step(&mut client);
    let waits = |place: &Place<'_>| {
        let mut control = (place.control)();
        wait_until("it waits in Redis", || {
            control.run("INFO clients").text().contains("\nblocked_clients:1\r\n")
        });
    };
    // Another client waits there with the number that ours has in the old one.
    waiting.send(&["BLPOP", "l", "0"]);
    waits(&old);
    let list = (old.control)().run("CLIENT LIST").text();
    let ours = list.lines().find(|line| line.contains("cmd=blpop")).expect("it waits");
    let id: i64 = ours[3..].split(' ').next().and_then(|id| id.parse().ok()).expect("its number");
    let mut other = (new.control)();
    while other.run("CLIENT ID").int() < id {
        other = (new.control)();
    }
    assert_eq!(other.run("CLIENT ID").int(), id);
    other.send(&["BLPOP", "theirs", "0"]);
    waits(&new);
    new.lead_there(&mut daemon);
    assert_eq!(waiting.receive(), Reply::Nil);
    wait_until("commands go to the new one", || {
        client.run("RPUSH seen x").int() > 0 && (new.control)().run("LLEN seen").int() > 0
    });
    waiting.send(&["BLPOP", "l", "0"]);
    assert_eq!(client.run("RPUSH theirs y"), Reply::Int(1), "nobody has ended their wait");
    assert!(!other.receive().is_error());
    waits(&new);
    assert_eq!(client.run("RPUSH l z"), Reply::Int(1));
    assert_eq!(waiting.receive().items().len(), 2);
}
