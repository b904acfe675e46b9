//! Batches on a store before a tier whose answers come when the test says so.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use seawall_actors::cache::Nobody;
use seawall_actors::cache::store::{KeyHasher, StoreConfig};
use seawall_actors::journal::{Record, Records};

use super::*;
use crate::resp::table;
use crate::tier::Found;

const NEAR: TierView = TierView { reachable: true, negative_ms: 0, stale_ms: 60_000 };
const NOW: UnixMs = 1_717_000_000_000;

/// One shard, and what stands behind it.
struct World {
    store: Store,
    hasher: KeyHasher,
    tier: BTreeMap<Vec<u8>, Vec<u8>>,
    log: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    lsn: Lsn,
}

impl World {
    fn new(max_entries: u64) -> Self {
        let mut store =
            Store::new(StoreConfig { databases: 2, max_entries, ..StoreConfig::default() });
        store.attach_tier(0, NOW);
        let hasher = KeyHasher::fixed();
        Self { store, hasher, tier: BTreeMap::new(), log: Vec::new(), lsn: 0 }
    }

    /// A batch of command lines, words separated by spaces.
    fn batch(&self, lines: &[&str]) -> DataJob {
        let mut input = Input::new(Arc::new(Limits {
            binary_keys: true,
            ascii_keys: false,
            max_key_length: 1000,
            max_value: 1 << 20,
            max_ttl_ms: None,
            max_reply: usize::MAX,
        }));
        for line in lines {
            let first = input.spans.len() as u32;
            for word in line.split(' ') {
                let start = input.bytes.len();
                input.bytes.extend_from_slice(word.as_bytes());
                input.spans.push(Span { start: start as u32, len: word.len() as u32 });
            }
            let words: Vec<&str> = line.split(' ').collect();
            let (name, key) = (words[0].as_bytes(), words[1].as_bytes());
            input.requests.push(Request {
                command: table::find(name),
                first,
                argc: words.len() as u32,
                hash: self.hasher.hash(key),
            });
        }
        let view = View {
            db: TIERED,
            proto: Proto::V2,
            databases: 2,
            hasher: self.hasher,
            no_touch: false,
            near: Some(NEAR),
        };
        let mut job = DataJob::default();
        let (input, author) = (Arc::new(input), Arc::new(Author::new(1, "test", "default")));
        job.prepare(&input, &view, &author, None);
        (0..lines.len()).for_each(|request| job.pick(request));
        job
    }

    /// Runs what can be run, and logs its effects.
    fn run(&mut self, job: &mut DataJob) {
        job.run(&mut self.store, NOW, &Ok(()), &Nobody);
        self.store.mark_effects();
        let effects = self.store.effects_mut();
        self.lsn += Lsn::from(effects.count());
        for record in Records::new(effects.as_bytes()).flatten() {
            match record {
                Record::Set { key, value, .. } => self.log.push((key.into(), Some(value.into()))),
                Record::Delete { key, .. } => self.log.push((key.into(), None)),
                _ => {}
            }
        }
        effects.clear();
        self.store.stamp_effects(self.lsn);
    }

    /// The tier gets what was logged, and says so.
    fn deliver(&mut self) {
        for (key, value) in self.log.drain(..) {
            match value {
                Some(value) => self.tier.insert(key, value),
                None => self.tier.remove(&key),
            };
        }
        self.store.acknowledge(self.lsn);
    }

    /// What the tier says now.
    fn look(&self, wants: Vec<Want>) -> Vec<Answer> {
        let answer = |want: Want| {
            let found = match self.tier.get(&*want.key) {
                Some(value) => Found::Value { value: value.as_slice().into(), expires_at: None },
                None => Found::Absent,
            };
            Answer { key: want.key, hash: want.hash, ticket: want.ticket, found }
        };
        wants.into_iter().map(answer).collect()
    }

    /// Runs a batch to its end, with all that it asks answered at once, and returns its replies.
    fn finish(&mut self, job: &mut DataJob) -> Vec<String> {
        let mut replies = Vec::new();
        for _ in 0..100 {
            self.run(job);
            replies.extend(
                (0..).map_while(|n| job.reply(n)).map(|r| String::from_utf8_lossy(r).into_owned()),
            );
            job.reset_replies();
            if job.is_done() {
                return replies;
            }
            self.deliver();
            let answers = self.look(job.take_questions());
            job.answer(answers);
        }
        panic!("it asks for ever; so far: {replies:?}");
    }

    fn command(&mut self, line: &str) -> String {
        let mut job = self.batch(&[line]);
        self.finish(&mut job).remove(0)
    }
}

/// INCR counted from a value that somebody had deleted here before it was acknowledged.
#[test]
fn a_write_does_not_build_upon_an_answer_that_was_overtaken() {
    let writes = [
        ("INCR k", ":1\r\n", Some("1")),
        ("APPEND k x", ":1\r\n", Some("x")),
        ("SETNX k x", ":1\r\n", Some("x")),
        ("SET k x NX", "+OK\r\n", Some("x")),
        ("SET k x XX", "$-1\r\n", None),
        ("GETSET k x", "$-1\r\n", Some("x")),
        ("GETDEL k", "$-1\r\n", None),
        ("EXPIRE k 100", ":0\r\n", None),
        ("GETEX k PERSIST", "$-1\r\n", None),
        ("SETRANGE k 1 x", ":2\r\n", Some("\0x")),
        ("INCRBYFLOAT k 0.5", "$3\r\n0.5\r\n", Some("0.5")),
        ("DEL k", ":0\r\n", None),
    ];
    for (line, reply, left) in writes {
        let mut world = World::new(0);
        world.tier.insert(b"k".into(), b"5".into());
        let mut late = world.batch(&[line]);
        world.run(&mut late);
        let old = world.look(late.take_questions());
        assert_eq!(old.len(), 1, "{line}");
        assert_eq!(world.command("DEL k"), ":1\r\n");
        world.deliver();
        late.answer(old);
        world.run(&mut late);
        assert!(!late.is_done(), "{line} was run on what had been deleted");
        assert_eq!(world.finish(&mut late), [reply], "{line}");
        world.deliver();
        assert_eq!(world.tier.get(&b"k"[..]).map(Vec::as_slice), left.map(str::as_bytes), "{line}");
    }
}

/// The same the other way round: there was nothing, somebody wrote, and memory had no room to keep it.
#[test]
fn a_write_does_not_take_for_absent_what_came_meanwhile_and_went() {
    let mut world = World::new(1);
    let mut late = world.batch(&["INCR k"]);
    world.run(&mut late);
    let old = world.look(late.take_questions());
    world.command("SET k 41");
    world.deliver();
    world.command("SET other 1");
    late.answer(old);
    assert_eq!(world.finish(&mut late), [":42\r\n"]);
}

/// A gap came while the question was under way: neither memory nor the answer is to be built upon.
#[test]
fn a_write_asks_anew_where_changes_may_have_been_missed() {
    let mut world = World::new(0);
    world.tier.insert(b"k".into(), b"5".into());
    world.command("GET k");
    world.store.gap_behind();
    let mut late = world.batch(&["INCR k"]);
    world.run(&mut late);
    let old = world.look(late.take_questions());
    world.tier.insert(b"k".into(), b"7".into());
    world.store.gap_behind();
    late.answer(old);
    assert_eq!(world.finish(&mut late), [":8\r\n"]);
}

/// A read began before what has overtaken its answer. To ask anew could go on for ever.
#[test]
fn one_read_takes_what_it_was_told() {
    let mut world = World::new(0);
    world.tier.insert(b"k".into(), b"5".into());
    let mut late = world.batch(&["GET k"]);
    world.run(&mut late);
    let old = world.look(late.take_questions());
    world.command("DEL k");
    world.deliver();
    late.answer(old);
    world.run(&mut late);
    assert!(late.is_done());
    assert_eq!(late.reply(0), Some(&b"$1\r\n5\r\n"[..]));
    assert_eq!(world.command("GET k"), "$-1\r\n", "and nobody else does");
}

#[test]
fn a_read_of_several_keys_is_of_one_moment_unless_they_never_hold_still() {
    let mut world = World::new(0);
    world.tier = [(b"a".into(), b"1".into()), (b"b".into(), b"1".into())].into();
    let mut late = world.batch(&["MGET a b"]);
    world.run(&mut late);
    let [a, b] = <[Answer; 2]>::try_from(world.look(late.take_questions())).expect("two");
    world.command("DEL a b");
    world.deliver();
    // One answer is from before, the other from after.
    let b = Answer { found: Found::Absent, ..b };
    late.answer(vec![a, b]);
    assert_eq!(world.finish(&mut late), ["*2\r\n$-1\r\n$-1\r\n"]);

    world.tier.insert(b"a".into(), b"1".into());
    let mut late = world.batch(&["MGET a b"]);
    for _ in 0..10 {
        world.run(&mut late);
        if late.is_done() {
            assert_eq!(late.reply(0), Some(&b"*2\r\n$1\r\n1\r\n$-1\r\n"[..]));
            return;
        }
        let answers = world.look(late.take_questions());
        for key in ["a", "b"] {
            world.store.changed_behind(world.hasher.key(key.as_bytes()), NOW);
        }
        late.answer(answers);
    }
    panic!("it asked for ever");
}

/// What makes room for another key of the same command is not absent for that.
#[test]
fn keys_that_do_not_fit_together_are_refused_and_not_taken_for_absent() {
    let mut world = World::new(1);
    world.tier = [(b"a".into(), b"1".into()), (b"b".into(), b"2".into())].into();
    let reply = world.command("MGET a b");
    assert!(reply.starts_with("-OOM not applied: the keys that are needed together"), "{reply}");
    let mut roomy = World::new(2);
    roomy.tier = world.tier.clone();
    roomy.command("SET old 1");
    roomy.command("GET b");
    assert_eq!(roomy.command("MGET a b"), "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
}

fn line() -> impl Strategy<Value = String> {
    let key = || prop::sample::select(vec!["a", "b", "c", "d"]);
    prop_oneof![
        3 => key().prop_map(|k| format!("GET {k}")),
        2 => (key(), key()).prop_map(|(a, b)| format!("MGET {a} {b}")),
        1 => (key(), key()).prop_map(|(a, b)| format!("EXISTS {a} {b}")),
        3 => key().prop_map(|k| format!("INCR {k}")),
        1 => key().prop_map(|k| format!("APPEND {k} 1")),
        1 => key().prop_map(|k| format!("SETNX {k} 7")),
        2 => key().prop_map(|k| format!("SET {k} 3")),
        1 => (key(), key()).prop_map(|(a, b)| format!("DEL {a} {b}")),
        1 => (key(), key()).prop_map(|(a, b)| format!("RENAMENX {a} {b}")),
        1 => (key(), key()).prop_map(|(a, b)| format!("COPY {a} {b}")),
    ]
}

proptest! {
    /// However small memory is, and whenever the tier gets what was written: each reply is that of a
    /// memory without limits, or says that there was no room.
    #[test]
    fn a_small_memory_answers_like_a_large_one_or_refuses(
        max_entries in 1u64..5,
        batches in prop::collection::vec(
            (prop::collection::vec(line(), 1..8), any::<bool>()), 1..6),
    ) {
        let (mut small, mut large) = (World::new(max_entries), World::new(0));
        for (lines, delivers) in batches {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let mut job = small.batch(&lines);
            let replies = small.finish(&mut job);
            for (line, reply) in lines.iter().zip(replies) {
                let keys: BTreeSet<&str> = line.split(' ').skip(1).filter(|w| w.len() == 1).collect();
                if reply.starts_with("-OOM") {
                    prop_assert!(keys.len() as u64 > max_entries, "{}: {}", line, reply);
                    // Nothing was done.
                    continue;
                }
                prop_assert_eq!(&reply, &large.command(line), "{} in {:?}", line, lines);
            }
            if delivers {
                small.deliver();
            }
        }
    }
}
