use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use proptest::prelude::*;

use super::*;
use crate::glob::Glob;
use crate::resp::backend::Backend as _;
use crate::resp::backend::fake::FakeBackend;
use crate::resp::reply::{Proto, Reply};

fn pubsub(settings: &[(&str, &str)]) -> PubSub {
    FakeBackend::new(settings).pubsub().clone()
}

fn connect(pubsub: &PubSub, client: u64) -> (Subscriber, Arc<Inbox>) {
    let inbox = Arc::new(pubsub.open_inbox(client));
    (Subscriber::new(pubsub.clone(), Arc::clone(&inbox)), inbox)
}

fn say(pubsub: &PubSub, channel: &str, payload: &str) -> u64 {
    pubsub.deliver(Message::new(Space::Channel, channel.as_bytes(), payload.as_bytes()))
}

/// What waits, as RESP2 with spaces for line ends.
fn read(inbox: &Inbox) -> String {
    let mut out = Vec::new();
    inbox.take(&mut Reply::new(&mut out, Proto::V2), usize::MAX);
    String::from_utf8_lossy(&out).replace("\r\n", " ").trim_end().to_owned()
}

const NAMES: [&str; 5] = ["a", "ab", "b", "a*", "*"];

#[derive(Debug, Clone)]
enum Action {
    Subscribe(usize, Space, Vec<usize>),
    Unsubscribe(usize, Space, Vec<usize>),
    Leave(usize),
    Publish(Space, usize),
}

fn action() -> impl Strategy<Value = Action> {
    let who = 0..3usize;
    let space = prop::sample::select(&Space::ALL[..]);
    let names = prop::collection::vec(0..NAMES.len(), 1..4);
    prop_oneof![
        3 => (who.clone(), space.clone(), names.clone())
            .prop_map(|(who, space, names)| Action::Subscribe(who, space, names)),
        2 => (who.clone(), space.clone(), names)
            .prop_map(|(who, space, names)| Action::Unsubscribe(who, space, names)),
        1 => who.prop_map(Action::Leave),
        4 => (space, 0..NAMES.len()).prop_map(|(space, name)| Action::Publish(space, name)),
    ]
}

proptest! {
    /// Against a set of (who, kind, name): counts, receivers, order, and books that balance.
    #[test]
    fn the_table_is_a_set_of_subscriptions(actions in prop::collection::vec(action(), 1..60)) {
        let pubsub = pubsub(&[]);
        let mut clients: Vec<_> = (0..3).map(|id| connect(&pubsub, id)).collect();
        let mut model: BTreeSet<(usize, u8, &str)> = BTreeSet::new();
        let count = |model: &BTreeSet<(usize, u8, &str)>, who: usize, space: Space| {
            let shard = Space::Shard as u8;
            model
                .iter()
                .filter(|(w, s, _)| *w == who && (*s == shard) == (space == Space::Shard))
                .count()
        };
        for (number, action) in actions.into_iter().enumerate() {
            match action {
                Action::Subscribe(who, space, names) => {
                    let names: Vec<&str> = names.iter().map(|n| NAMES[*n]).collect();
                    let counts = clients[who].0.subscribe(space, names.iter().map(|n| n.as_bytes()));
                    let expected: Vec<usize> = names
                        .iter()
                        .map(|name| {
                            model.insert((who, space as u8, name));
                            count(&model, who, space)
                        })
                        .collect();
                    prop_assert_eq!(counts.expect("room"), expected);
                }
                Action::Unsubscribe(who, space, names) => {
                    let names: Vec<&str> = names.iter().map(|n| NAMES[*n]).collect();
                    let left = clients[who].0.unsubscribe(space, names.iter().map(|n| n.as_bytes()));
                    let expected: Vec<usize> = names
                        .iter()
                        .map(|name| {
                            model.remove(&(who, space as u8, name));
                            count(&model, who, space)
                        })
                        .collect();
                    prop_assert_eq!(left, expected);
                }
                Action::Leave(who) => {
                    model.retain(|(w, _, _)| *w != who);
                    clients[who] = connect(&pubsub, who as u64);
                }
                Action::Publish(Space::Pattern, _) => {}
                Action::Publish(space, name) => {
                    let (channel, payload) = (NAMES[name], number.to_string());
                    let sent = pubsub.deliver(Message::new(space, channel.as_bytes(), payload.as_bytes()));
                    let heard = |(_, s, n): &&(usize, u8, &str)| {
                        (*s == space as u8 && *n == channel)
                            || (space == Space::Channel
                                && *s == Space::Pattern as u8
                                && Glob::new(n.as_bytes()).matches(channel.as_bytes()))
                    };
                    let expected: Vec<usize> = model.iter().filter(heard).map(|(w, ..)| *w).collect();
                    prop_assert_eq!(sent, expected.len() as u64);
                    for (who, (_, inbox)) in clients.iter().enumerate() {
                        let mine = expected.iter().filter(|w| **w == who).count();
                        prop_assert_eq!(read(inbox).matches(&format!(" {payload}")).count() >= mine, true);
                    }
                }
            }
            let figures = pubsub.figures();
            let names: BTreeSet<(u8, &str)> = model.iter().map(|(_, s, n)| (*s, *n)).collect();
            prop_assert_eq!(figures.names.iter().sum::<usize>(), names.len());
            prop_assert_eq!(figures.subscriptions, model.len());
            let subscribers: BTreeSet<usize> = model.iter().map(|(w, ..)| *w).collect();
            prop_assert_eq!(figures.subscribers, subscribers.len());
        }
        drop(clients);
        let Figures { delivered, .. } = pubsub.figures();
        prop_assert_eq!(pubsub.figures(), Figures { delivered, ..Figures::default() });
    }
}

#[test]
fn messages_come_in_order_and_say_by_what_they_came() {
    let pubsub = pubsub(&[]);
    let (mut subscriber, inbox) = connect(&pubsub, 1);
    subscriber.subscribe(Space::Channel, [&b"news"[..]].into_iter()).expect("room");
    subscriber.subscribe(Space::Pattern, [&b"n*"[..]].into_iter()).expect("room");
    assert_eq!(
        (say(&pubsub, "news", "1"), say(&pubsub, "no", "2"), say(&pubsub, "x", "3")),
        (2, 1, 0)
    );
    assert_eq!(
        read(&inbox),
        "*3 $7 message $4 news $1 1 *4 $8 pmessage $2 n* $4 news $1 1 *4 $8 pmessage $2 n* $2 no \
         $1 2"
    );
    assert_eq!((inbox.bytes(), pubsub.figures().pending_bytes), (0, 0));
}

#[test]
fn what_came_by_a_subscription_that_has_ended_is_not_sent() {
    let pubsub = pubsub(&[]);
    let (mut subscriber, inbox) = connect(&pubsub, 1);
    subscriber.subscribe(Space::Channel, [&b"a"[..], b"b"].into_iter()).expect("room");
    say(&pubsub, "a", "1");
    say(&pubsub, "b", "2");
    subscriber.unsubscribe(Space::Channel, [&b"a"[..]].into_iter());
    assert_eq!(read(&inbox), "*3 $7 message $1 b $1 2");
    assert_eq!(pubsub.figures().pending_bytes, 0);
}

#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn an_inbox_that_overflows_is_emptied_and_says_so_even_to_a_connection_that_writes() {
    use std::task::{Context, Poll};

    let pubsub = pubsub(&[("SERVER__PUBSUB_BUFFER", "1MB")]);
    let (mut deaf, inbox) = connect(&pubsub, 1);
    let (mut other, others) = connect(&pubsub, 2);
    deaf.subscribe(Space::Channel, [&b"c"[..]].into_iter()).expect("room");
    other.subscribe(Space::Channel, [&b"c"[..]].into_iter()).expect("room");
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    let mut cx = Context::from_waker(&waker);
    assert_eq!(inbox.poll(&mut cx, true), Poll::Pending);
    say(&pubsub, "c", "x");
    assert_eq!(bell.0.load(Ordering::Relaxed), 1, "a message wakes who waits for one");
    assert_eq!(inbox.poll(&mut cx, true), Poll::Ready(Arrival::Pushes));
    // Its socket takes nothing now.
    assert_eq!(inbox.poll(&mut cx, false), Poll::Pending);
    let large = "x".repeat(400_000);
    for _ in 0..2 {
        say(&pubsub, "c", &large);
        assert!(read(&others).ends_with(&large));
    }
    assert_eq!(bell.0.load(Ordering::Relaxed), 1);
    say(&pubsub, "c", &large);
    assert_eq!(bell.0.load(Ordering::Relaxed), 2, "an overflow wakes in any case");
    assert_eq!(inbox.poll(&mut cx, false), Poll::Ready(Arrival::Overflow));
    assert_eq!((inbox.bytes(), read(&inbox).len()), (0, 0));
    assert!(read(&others).ends_with(&large), "nobody else loses anything");
    say(&pubsub, "c", "y");
    assert_eq!(inbox.bytes(), 0, "it gets nothing any more");
    assert_eq!(pubsub.figures().overflowed, 1);
}

#[test]
fn pushes_leave_an_inbox_piece_by_piece() {
    let pubsub = pubsub(&[]);
    let (mut subscriber, inbox) = connect(&pubsub, 1);
    subscriber.subscribe(Space::Channel, [&b"c"[..]].into_iter()).expect("room");
    (0..100).for_each(|n| assert_eq!(say(&pubsub, "c", &n.to_string()), 1));
    let (mut out, mut pieces) = (Vec::new(), 0);
    while inbox.bytes() > 0 {
        inbox.take(&mut Reply::new(&mut out, Proto::V3), 1000);
        pieces += 1;
    }
    assert!((5..10).contains(&pieces), "{pieces}");
    let expected: String = (0..100)
        .map(|n: usize| {
            let n = n.to_string();
            format!(">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n${}\r\n{n}\r\n", n.len())
        })
        .collect();
    assert_eq!(String::from_utf8_lossy(&out), expected);
}

#[test]
fn bounds_refuse_a_subscription_as_a_whole() {
    let settings = [("SERVER__MAX_SUBSCRIPTIONS", "3"), ("SERVER__MAX_CHANNELS", "4")];
    let pubsub = pubsub(&settings);
    let (mut one, _) = connect(&pubsub, 1);
    let (mut two, _) = connect(&pubsub, 2);
    let names = |names: &'static [&str]| names.iter().map(|name| name.as_bytes());
    assert_eq!(one.subscribe(Space::Channel, names(&["a", "b", "a"])), Ok(vec![1, 2, 2]));
    let refused = one.subscribe(Space::Pattern, names(&["c", "d"])).expect_err("too many");
    assert!(refused.to_string().contains("has 2 of the 3 that server.max_subscriptions"));
    let refused = two.subscribe(Space::Shard, names(&["a", "b", "c"])).expect_err("too many");
    assert!(refused.to_string().contains("server.max_channels"), "{refused}");
    assert_eq!(pubsub.figures().names, [2, 0, 0], "nothing is left of a refused one");
    // A name that is there already needs no room.
    assert_eq!(two.subscribe(Space::Channel, names(&["a", "b", "c"])), Ok(vec![1, 2, 3]));
}

/// Remembers which names somebody listens to.
#[derive(Debug, Default, Clone)]
struct Afar(Arc<std::sync::Mutex<Vec<String>>>);

#[async_trait::async_trait]
impl Exchange for Afar {
    async fn publish(&self, _: &PubSub, message: Message) -> Result<u64, Refusal> {
        self.0.lock().expect("no panic").push(format!("{:?}", message.payload()));
        Ok(7)
    }

    fn listens(&self, space: Space, name: &Name, anybody: bool) {
        let name = name.escape_ascii();
        self.0.lock().expect("no panic").push(format!("{} {name} {anybody}", space.name()));
    }

    async fn confirmed(&self, _: Space, _: &[&[u8]]) -> Result<(), Refusal> {
        Ok(())
    }
}

#[test]
fn a_message_from_afar_gets_to_those_who_listen_by_what_it_came_by() {
    let pubsub = pubsub(&[]);
    let (mut subscriber, inbox) = connect(&pubsub, 1);
    subscriber.subscribe(Space::Channel, [&b"news"[..]].into_iter()).expect("room");
    subscriber.subscribe(Space::Pattern, [&b"n*"[..], b"*s"].into_iter()).expect("room");
    let arrive = |by, text: &str| {
        pubsub.shared.arrived(by, Message::new(Space::Channel, b"news", text.as_bytes()));
    };
    arrive(By::Name, "1");
    arrive(By::Pattern(b"*s"), "2");
    // Nobody has asked for these.
    arrive(By::Pattern(b"ne*"), "3");
    assert_eq!(read(&inbox), "*3 $7 message $4 news $1 1 *4 $8 pmessage $2 *s $4 news $1 2");
    assert_eq!(pubsub.figures().delivered, 2);
}

#[tokio::test]
async fn an_exchange_hears_of_the_first_and_the_last_listener() {
    let afar = Afar::default();
    let settings = FakeBackend::new(&[]).config().settings();
    let pubsub = PubSub::new(&settings.server, Box::new(afar.clone()));
    let (mut one, inbox) = connect(&pubsub, 1);
    let (mut two, _) = connect(&pubsub, 2);
    for subscriber in [&mut one, &mut two] {
        subscriber.subscribe(Space::Channel, [&b"c"[..]].into_iter()).expect("room");
    }
    assert_eq!(pubsub.publish(Message::new(Space::Channel, b"c", b"")).await, Ok(7));
    assert_eq!(inbox.bytes(), 0, "what comes back from afar is delivered, not what goes");
    drop(one);
    drop(two);
    assert_eq!(*afar.0.lock().expect("no panic"), ["channel c true", "[]", "channel c false"]);
}
