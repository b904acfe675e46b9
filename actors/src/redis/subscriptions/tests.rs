//! The subscriber in a real tree, against a server of the test's own.

use std::time::Duration;

use super::*;
use crate::redis::fake::{MS, Mode, Server, settings, tree};
use crate::redis::{LinkSettings, Pool};
use crate::supervise::Tree;

/// Writes down what comes.
#[derive(Default)]
struct Diary(Mutex<Vec<String>>);

impl Diary {
    fn read(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Receiver for Diary {
    fn receive(&self, by: By<'_>, channel: &[u8], payload: &[u8]) {
        let by = match by {
            By::Name => "name".to_owned(),
            By::Pattern(pattern) => pattern.escape_ascii().to_string(),
        };
        let line = format!("{by} {} {}", channel.escape_ascii(), payload.escape_ascii());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

struct Setup {
    server: Server,
    subscriber: Pool,
    subscriptions: Subscriptions,
    diary: Arc<Diary>,
    conditions: Conditions,
    _tree: Tree,
}

impl Setup {
    async fn start(adapt: impl FnOnce(&mut LinkSettings)) -> Self {
        let server = Server::start().await;
        let mut settings = settings(&server.url);
        // A busy machine is no trouble of the server's.
        (settings.timeout, settings.connect_timeout) = (10_000 * MS, 10_000 * MS);
        adapt(&mut settings);
        let (links, conditions) = (Pool::new(settings), Conditions::new());
        let subscriptions = Subscriptions::new(&conditions, true);
        let diary = Arc::new(Diary::default());
        subscriptions.tell(Arc::clone(&diary) as Arc<dyn Receiver>);
        let subscriber = links.subscriber(subscriptions.clone());
        let tree = tree(&[(&links, 1), (&subscriber, 1)], &conditions).await;
        Self { server, subscriber, subscriptions, diary, conditions, _tree: tree }
    }

    async fn subscribe(&self, topics: &[Topic]) -> Result<bool, (Topic, Arc<str>)> {
        for topic in topics {
            self.subscriptions.want(topic.clone(), true);
        }
        self.confirmed(topics, 10_000 * MS).await
    }

    async fn confirmed(
        &self,
        topics: &[Topic],
        within: Duration,
    ) -> Result<bool, (Topic, Arc<str>)> {
        self.subscriptions.confirmed(topics, Instant::now() + within).await
    }

    async fn wait(&self, what: &str, until: impl Fn(&Self) -> bool) {
        let reached = async {
            while !until(self) {
                tokio::time::sleep(MS).await;
            }
        };
        let done = tokio::time::timeout(Duration::from_secs(10), reached).await;
        assert!(done.is_ok(), "{what}: {:?} {:?}", self.subscriptions, self.conditions.current());
    }

    fn publish(&self, channel: &str, payload: &str) {
        let (c, p) = (channel.len(), payload.len());
        let push = format!(">3\r\n$7\r\nmessage\r\n${c}\r\n{channel}\r\n${p}\r\n{payload}\r\n");
        self.server.push(&push);
    }
}

fn channel(name: &str) -> Topic {
    Topic::Channel(Arc::from(name.as_bytes()))
}

fn pattern(text: &str) -> Topic {
    Topic::Pattern(Arc::from(text.as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_connects_for_the_first_who_wants_something_and_is_subscribed_to_just_that() {
    let setup = Setup::start(|_| {}).await;
    setup.wait("the lead is up", |s| s.server.accepted() == 1).await;
    let (a, p) = (channel("a"), pattern("b*"));
    assert_eq!(setup.subscribe(&[a.clone(), p.clone()]).await, Ok(true));
    assert_eq!(setup.server.accepted(), 2);
    setup.publish("a", "1\r\n2");
    setup.server.push(">4\r\n$8\r\npmessage\r\n$2\r\nb*\r\n$2\r\nbc\r\n$0\r\n\r\n");
    setup.wait("both have come", |s| s.diary.read().len() == 2).await;
    assert_eq!(setup.diary.read(), ["name a 1\\r\\n2", "b* bc "]);
    setup.subscriptions.want(a, false);
    setup.subscriptions.want(p, false);
    let asked = ["PSUBSCRIBE b*", "PUNSUBSCRIBE b*", "SUBSCRIBE a", "UNSUBSCRIBE a"];
    let sorted = |s: &Setup| {
        let mut all = s.server.subscribed.borrow().clone();
        all.sort_unstable();
        all
    };
    setup.wait("it has left", |s| sorted(s) == asked).await;
    setup.wait("nothing is left", |s| s.subscriptions.stats().confirmed == 0).await;
    let stats = setup.subscriptions.stats();
    assert_eq!((stats.wanted, stats.messages, stats.gaps, stats.unconfirmed), (0, 2, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_lost_connection_all_is_subscribed_to_again_and_the_gap_is_told_once() {
    let setup = Setup::start(|_| {}).await;
    assert_eq!(setup.subscribe(&[channel("a"), pattern("p")]).await, Ok(true));
    setup.server.set(Mode::Close);
    setup.server.hang_up();
    setup
        .wait("it is told", |s| {
            s.conditions.current().iter().any(|c| (&*c.path, &*c.name) == (PATH, NOT_LISTENING))
        })
        .await;
    // Clients come and go meanwhile, and none is kept waiting longer than it likes.
    setup.subscriptions.want(pattern("p"), false);
    setup.subscriptions.want(channel("b"), true);
    assert_eq!(setup.confirmed(&[channel("b")], 20 * MS).await, Ok(false));
    setup.server.subscribed.send_replace(Vec::new());
    setup.server.set(Mode::Answer);
    assert_eq!(setup.confirmed(&[channel("a"), channel("b")], 10_000 * MS).await, Ok(true));
    setup.wait("it is over", |s| s.conditions.current().is_empty()).await;
    let mut asked = setup.server.subscribed.borrow().clone();
    asked.sort_unstable();
    assert_eq!(asked, ["SUBSCRIBE a", "SUBSCRIBE b"]);
    let stats = setup.subscriptions.stats();
    assert_eq!((stats.gaps, stats.unconfirmed, stats.confirmed), (1, 1, 2));
    setup.publish("b", "after");
    setup.wait("it hears", |s| s.diary.read() == ["name b after"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_hangs_is_noticed_by_its_silence() {
    let impatient = |settings: &mut LinkSettings| {
        (settings.timeout, settings.connect_timeout) = (200 * MS, 200 * MS);
    };
    let setup = Setup::start(impatient).await;
    assert_eq!(setup.subscribe(&[channel("a")]).await, Ok(true));
    setup.server.set(Mode::Hang);
    setup.wait("it is told", |s| !s.conditions.current().is_empty()).await;
    setup.server.set(Mode::Answer);
    setup.wait("it is over", |s| s.conditions.current().is_empty()).await;
    assert!(setup.subscriptions.stats().gaps > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_refuses_is_told_and_asked_for_again() {
    let setup = Setup::start(|_| {}).await;
    assert_eq!(setup.subscribe(&[channel("a")]).await, Ok(true));
    setup.server.set(Mode::Mute);
    let answer = setup.subscribe(&[channel("a"), channel("b")]).await;
    assert_eq!(answer, Err((channel("b"), "NOPERM no".into())));
    let told = setup.conditions.current();
    assert!(told[0].reason.contains("as b; allow them"), "{told:?}");
    // An operator allows it.
    setup.server.set(Mode::Answer);
    setup.wait("it is over", |s| s.conditions.current().is_empty()).await;
    assert_eq!(setup.confirmed(&[channel("b")], Duration::ZERO).await, Ok(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn turned_off_it_leaves_everything_and_confirms_at_once() {
    let setup = Setup::start(|_| {}).await;
    assert_eq!(setup.subscribe(&[channel("a")]).await, Ok(true));
    let hear = |text: &str| {
        let data = ["a", text].map(|word| Value::BulkString(word.as_bytes().to_vec())).to_vec();
        let push = PushInfo { kind: PushKind::Message, data };
        setup.subscriptions.hear(setup.subscriber.epoch(), push);
    };
    hear("early");
    setup.subscriptions.set_on(false);
    hear("late");
    assert_eq!(setup.subscribe(&[channel("b")]).await, Ok(true));
    let left = ["SUBSCRIBE a", "UNSUBSCRIBE a"];
    setup.wait("it has left", |s| *s.server.subscribed.borrow() == left).await;
    setup.subscriptions.set_on(true);
    assert_eq!(setup.confirmed(&[channel("a"), channel("b")], 10_000 * MS).await, Ok(true));
    assert_eq!(setup.diary.read(), ["name a early"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_settings_that_lead_elsewhere_end_a_connection() {
    let setup = Setup::start(|settings| settings.max_age = Some(10 * MS)).await;
    assert_eq!(setup.subscribe(&[channel("a")]).await, Ok(true));
    let patient = LinkSettings { timeout: 11_000 * MS, ..(*setup.subscriber.settings()).clone() };
    setup.subscriber.configure(patient.clone());
    tokio::time::sleep(100 * MS).await;
    assert_eq!(setup.subscriptions.stats().gaps, 0);
    // What the old connection still hears does not count.
    setup.subscriber.configure(LinkSettings { client_name: "other".to_owned(), ..patient });
    setup.wait("it is subscribed again", |s| s.subscriptions.stats().gaps == 1).await;
    assert_eq!(*setup.server.subscribed.borrow(), ["SUBSCRIBE a", "SUBSCRIBE a"]);
    setup.publish("a", "once");
    setup.wait("it hears", |s| !s.diary.read().is_empty()).await;
    assert_eq!(setup.confirmed(&[channel("a")], Duration::ZERO).await, Ok(true));
    assert_eq!(setup.diary.read(), ["name a once"]);
}

#[test]
fn the_nodes_of_a_cluster_take_turns_until_one_serves() {
    let subscriptions = Subscriptions::new(&Conditions::new(), true);
    let node = |host: &str| Node { host: host.into(), port: 1 };
    let known: BTreeSet<Node> = ["a", "home", "b"].map(node).into();
    let next = || subscriptions.next_node(node("home"), known.clone());
    assert_eq!([next(), next(), next(), next()], ["home", "a", "b", "home"].map(node));
    subscriptions.begins(1);
    assert_eq!(next(), node("home"));
    assert_eq!(subscriptions.next_node(node("home"), BTreeSet::new()), node("home"));
}
