use std::collections::BTreeMap;

use proptest::prelude::*;

use super::prefixes::Prefixes;
use super::table::Table;

#[derive(Debug, Clone)]
enum Action {
    Remember(u8, u64),
    Take(u8),
    Evict(usize),
    Clear,
}

proptest! {
    /// Against a list of keys in the order in which they were first read.
    #[test]
    fn the_table_remembers_readers_and_forgets_the_oldest_first(
        actions in prop::collection::vec(
            prop_oneof![
                8 => (0..12u8, 0..4u64).prop_map(|(key, client)| Action::Remember(key, client)),
                3 => (0..12u8).prop_map(Action::Take),
                1 => (0..8usize).prop_map(Action::Evict),
                1 => Just(Action::Clear),
            ],
            1..200,
        )
    ) {
        let mut table = Table::default();
        let mut model: Vec<(u8, Vec<u64>)> = Vec::new();
        for action in actions {
            match action {
                Action::Remember(key, client) => {
                    table.remember(&[key], client);
                    match model.iter_mut().find(|(known, _)| *known == key) {
                        Some((_, readers)) => {
                            readers.push(client);
                            readers.sort_unstable();
                            readers.dedup();
                        }
                        None => model.push((key, vec![client])),
                    }
                }
                Action::Take(key) => {
                    let at = model.iter().position(|(known, _)| *known == key);
                    let readers = at.map(|at| model.remove(at).1).unwrap_or_default();
                    prop_assert_eq!(table.take(&[key]), readers);
                }
                Action::Evict(most) => {
                    let gone: Vec<(u8, Vec<u64>)> =
                        table.evict_to(most).into_iter().map(|(key, r)| (key[0], r)).collect();
                    let surplus = model.len().saturating_sub(most);
                    prop_assert_eq!(gone, model.drain(..surplus).collect::<Vec<_>>());
                }
                Action::Clear => {
                    table.clear();
                    model.clear();
                }
            }
            prop_assert_eq!(table.keys(), model.len());
            prop_assert_eq!(table.items(), model.iter().map(|(_, r)| r.len()).sum::<usize>());
        }
        table.evict_to(0);
        prop_assert_eq!(table.bytes(), 0);
    }
}

#[test]
fn what_is_told_of_again_and_again_takes_no_room_for_ever() {
    let mut table = Table::default();
    table.remember(b"stays", 1);
    for n in 0..1_000_000u32 {
        table.remember(b"k", 1);
        assert_eq!(table.take(b"k"), [1], "{n}");
    }
    assert!(table.places() < 3000, "{}", table.places());
    assert_eq!(table.take(b"stays"), [1]);
}

#[test]
fn prefixes_go_with_their_last_listener() {
    let mut prefixes = Prefixes::default();
    for (prefix, client) in [("a", 1), ("b", 1), ("a", 2)] {
        prefixes.add(prefix.as_bytes(), client);
    }
    let mine: Vec<String> =
        prefixes.of(1).iter().map(|p| String::from_utf8_lossy(p).into_owned()).collect();
    assert_eq!(mine, ["a", "b"]);
    prefixes.remove(1);
    let left: BTreeMap<&[u8], usize> = prefixes.iter().map(|(p, c)| (p, c.len())).collect();
    assert_eq!(left, BTreeMap::from([(&b"a"[..], 1)]));
    prefixes.remove(2);
    assert!(prefixes.is_empty());
}
