//! What it makes of what it hears; and the actor in a real tree, against a server of the test's own.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::journal::Lsn;
use crate::redis::fake::{MS, Mode, Server, settings, tree};
use crate::redis::{LinkSettings, Once, Pool, PoolState, Request};
use crate::supervise::{Conditions, Tree};

/// A cache that only writes down what it is told.
#[derive(Default)]
struct Diary(Mutex<Vec<String>>);

impl Diary {
    fn write(&self, line: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn read(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Near for Diary {
    fn acknowledged(&self, lsn: Lsn) {
        self.write(format!("acknowledged {lsn}"));
    }

    fn changed(&self, keys: Vec<Box<[u8]>>) {
        let keys: Vec<_> = keys.iter().map(|key| key.escape_ascii().to_string()).collect();
        self.write(keys.join(" "));
    }

    fn flushed(&self) {
        self.write("flushed".to_owned());
    }

    fn gap(&self) {
        self.write("gap".to_owned());
    }
}

fn invalidate(data: Vec<Value>) -> PushInfo {
    PushInfo { kind: PushKind::Invalidate, data }
}

fn bulk(text: &str) -> Value {
    Value::BulkString(text.as_bytes().to_vec())
}

#[test]
fn each_announcement_is_told_for_what_it_is() {
    let diary = Arc::new(Diary::default());
    let tracking = Tracking::new(
        Arc::clone(&diary) as Arc<dyn Near>,
        Conditions::new().declare(PATH, NOT_TRACKING),
    );
    tracking.hear(invalidate(vec![Value::Array(vec![bulk("a"), bulk("b\r\n")])]), 1);
    tracking.hear(invalidate(vec![Value::Nil]), 1);
    // Not what Redis sends, but it means that something changed.
    tracking.hear(invalidate(vec![Value::Int(1)]), 1);
    tracking.hear(invalidate(Vec::new()), 1);
    // None of its business.
    let message = vec![bulk("channel"), bulk("text")];
    tracking.hear(PushInfo { kind: PushKind::Message, data: message }, 1);
    assert_eq!(diary.read(), ["a b\\r\\n", "flushed", "gap", "gap"]);
    let stats = tracking.stats(true);
    assert_eq!((stats.announcements, stats.keys, stats.flushes, stats.gaps), (1, 2, 1, 2));
}

#[test]
fn prefixes_are_asked_for_one_by_one() {
    let words = |prefixes: &[&str]| {
        let prefixes: Vec<String> = prefixes.iter().map(|p| (*p).to_owned()).collect();
        let packed = request(&prefixes).get_packed_command();
        String::from_utf8(packed).expect("text").split("\r\n").skip(2).step_by(2).fold(
            String::new(),
            |line, word| {
                if line.is_empty() { word.to_owned() } else { format!("{line} {word}") }
            },
        )
    };
    assert_eq!(words(&[]), "CLIENT TRACKING ON BCAST NOLOOP");
    assert_eq!(words(&["u:", "s:"]), "CLIENT TRACKING ON BCAST NOLOOP PREFIX u: PREFIX s:");
}

/// A link, the tracker, and what the cache was told.
struct Setup {
    server: Server,
    links: Pool,
    tracker: Pool,
    diary: Arc<Diary>,
    conditions: Conditions,
    _tree: Tree,
}

impl Setup {
    async fn start(adapt: impl FnOnce(&mut LinkSettings)) -> Self {
        Self::before(Server::start().await, adapt).await
    }

    async fn before(server: Server, adapt: impl FnOnce(&mut LinkSettings)) -> Self {
        let mut settings = settings(&server.url);
        adapt(&mut settings);
        let links = Pool::new(settings);
        let diary = Arc::new(Diary::default());
        let conditions = Conditions::new();
        let tracker = links.tracker(Arc::clone(&diary) as Arc<dyn Near>, &conditions);
        let tree = tree(&[(&links, 1), (&tracker, 1)], &conditions).await;
        Self { server, links, tracker, diary, conditions, _tree: tree }
    }

    async fn told(&self, line: &str, times: usize) {
        let reached = async {
            while self.diary.read().iter().filter(|told| *told == line).count() < times {
                tokio::time::sleep(MS).await;
            }
        };
        let within = Duration::from_secs(10);
        assert!(
            tokio::time::timeout(within, reached).await.is_ok(),
            "{line} × {times}: {:?}",
            self.diary.read()
        );
    }

    fn is_up(&self) -> bool {
        self.tracker.tracked().is_some_and(|stats| stats.up)
    }

    async fn location(&self, pool: &Pool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(5);
        let request = Request { deadline, once: Once::OrMore };
        pool.run(&redis::cmd("WHERE"), request).await.expect("an answer")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_change_is_told_once_it_tracks() {
    let prefixes = |settings: &mut LinkSettings| settings.track_prefixes = vec!["u:".to_owned()];
    let setup = Setup::start(prefixes).await;
    setup.told("gap", 1).await;
    let asked = setup.server.tracking.borrow().clone();
    assert_eq!(asked, "CLIENT TRACKING ON BCAST NOLOOP PREFIX u:");
    setup.server.push(">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\na\r\n$2\r\nbc\r\n");
    setup.told("a bc", 1).await;
    setup.server.push(">2\r\n$10\r\ninvalidate\r\n_\r\n");
    setup.told("flushed", 1).await;
    assert_eq!(setup.diary.read(), ["gap", "a bc", "flushed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_take_the_connection_that_tracks_and_reads_do_not() {
    let setup = Setup::start(|_| {}).await;
    for _ in 0..8 {
        let (ours, theirs) =
            (setup.location(&setup.tracker).await, setup.location(&setup.links).await);
        assert_eq!(ours, Value::SimpleString("tracking".to_owned()));
        assert_eq!(theirs, Value::SimpleString("plain".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_closed_is_noticed_at_once_and_doubt_begins_with_the_next() {
    // It is never asked for a sign of life.
    let setup = Setup::start(|settings| settings.ping_every = Duration::from_secs(3600)).await;
    setup.told("gap", 1).await;
    setup.server.set(Mode::Close);
    setup.server.hang_up();
    while setup.is_up() {
        tokio::time::sleep(MS).await;
    }
    // What is in memory goes on being served.
    assert_eq!(setup.diary.read(), ["gap"]);
    assert_eq!(&*setup.conditions.current()[0].path, PATH);
    setup.server.set(Mode::Answer);
    setup.told("gap", 2).await;
    while !setup.is_up() {
        tokio::time::sleep(MS).await;
    }
    assert_eq!(setup.conditions.current(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_hangs_is_noticed_by_its_silence() {
    let setup = Setup::start(|_| {}).await;
    setup.told("gap", 1).await;
    setup.server.set(Mode::Hang);
    let began = Instant::now();
    while setup.is_up() {
        tokio::time::sleep(MS).await;
    }
    // A sign of life is asked for each 50 ms and waited for 200 ms.
    assert!(began.elapsed() < 1000 * MS, "{:?}", began.elapsed());
    setup.server.set(Mode::Answer);
    setup.told("gap", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_there_is_no_link_it_does_not_try_and_says_who_holds_it_up() {
    let server = Server::start().await;
    server.set(Mode::Close);
    let setup = Setup::before(server, |_| {}).await;
    let opened = async {
        // Whoever writes waits for the lead.
        while !matches!(setup.tracker.state(), PoolState::Open { .. }) {
            tokio::time::sleep(MS).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), opened).await.expect("it opens");
    // Two by the lead, and perhaps a trial.
    assert!(setup.server.accepted() < 4, "{}", setup.server.accepted());
    setup.server.set(Mode::Answer);
    setup.told("gap", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_may_not_track_still_carries_writes() {
    let server = Server::start().await;
    server.set(Mode::Mute);
    let setup = Setup::before(server, |_| {}).await;
    assert_eq!(setup.location(&setup.tracker).await, Value::SimpleString("plain".to_owned()));
    assert!(setup.tracker.tracked().is_some_and(|stats| stats.up && stats.refused));
    // The next connection is allowed to.
    setup.server.set(Mode::Answer);
    let other = LinkSettings { client_name: "other".to_owned(), ..settings(&setup.server.url) };
    setup.tracker.configure(other);
    setup.told("gap", 2).await;
    assert!(setup.tracker.tracked().is_some_and(|stats| stats.up && !stats.refused));
}
