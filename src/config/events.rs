//! `server.notify_keyspace_events`: which keyspace events are published, and under which channels.
//!
//! Redis' letters: <https://redis.io/docs/latest/develop/use/keyspace-notifications/>.

use std::fmt;

use seawall_actors::cache::store::Kinds;

/// A set of classes of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventClasses(u16);

/// Letters in the order in which Redis shows them. Those of data types that are not held here are
/// taken and shown.
const LETTERS: [(char, u16, Kinds); 10] = [
    ('g', 1, Kinds::GENERIC),
    ('$', 1 << 1, Kinds::STRING),
    ('l', 1 << 2, Kinds::NONE),
    ('s', 1 << 3, Kinds::NONE),
    ('h', 1 << 4, Kinds::NONE),
    ('z', 1 << 5, Kinds::NONE),
    ('x', 1 << 6, Kinds::EXPIRED),
    ('e', 1 << 7, Kinds::EVICTED),
    ('t', 1 << 8, Kinds::NONE),
    ('d', 1 << 9, Kinds::NONE),
];
const ALL: u16 = (1 << LETTERS.len()) - 1;
const NEW: u16 = 1 << 10;
const KEYSPACE: u16 = 1 << 11;
const KEYEVENT: u16 = 1 << 12;
const MISSED: u16 = 1 << 13;

impl EventClasses {
    /// Reads Redis' letters, in any order; `None` if one is unknown.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.chars()
            .map(|letter| match letter {
                'A' => Some(ALL),
                'n' => Some(NEW),
                'K' => Some(KEYSPACE),
                'E' => Some(KEYEVENT),
                'm' => Some(MISSED),
                _ => LETTERS.iter().find(|(known, ..)| *known == letter).map(|(_, bit, _)| *bit),
            })
            .try_fold(0, |bits, bit| Some(bits | bit?))
            .map(Self)
    }

    /// Whether events are published to `__keyspace@<db>__:<key>`.
    #[must_use]
    pub const fn by_key(self) -> bool {
        self.0 & KEYSPACE != 0
    }

    /// Whether events are published to `__keyevent@<db>__:<event>`.
    #[must_use]
    pub const fn by_event(self) -> bool {
        self.0 & KEYEVENT != 0
    }

    /// The events that have to be told: none if there is no channel for them.
    #[must_use]
    pub fn kinds(self) -> Kinds {
        if !self.by_key() && !self.by_event() {
            return Kinds::NONE;
        }
        let others = [('n', NEW, Kinds::NEW), ('m', MISSED, Kinds::MISSED)];
        LETTERS
            .iter()
            .chain(&others)
            .filter(|(_, bit, _)| self.0 & bit != 0)
            .fold(Kinds::NONE, |kinds, (_, _, kind)| kinds.and(*kind))
    }

    /// As a number, to be kept in an atomic.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// From the number that [`EventClasses::bits`] gave.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }
}

impl fmt::Display for EventClasses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = String::new();
        if self.0 & ALL == ALL {
            // Redis does not show an `n` behind it.
            shown.push('A');
        } else {
            let set = LETTERS.iter().filter(|(_, bit, _)| self.0 & bit != 0);
            shown.extend(set.map(|(letter, ..)| *letter));
            shown.extend((self.0 & NEW != 0).then_some('n'));
        }
        let others = [(KEYSPACE, 'K'), (KEYEVENT, 'E'), (MISSED, 'm')];
        shown.extend(others.iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, c)| *c));
        f.write_str(&shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_come_out_in_redis_order_and_unknown_ones_are_refused() {
        for (given, shown) in [
            ("", ""),
            ("KEA", "AKE"),
            ("Kx", "xK"),
            ("$lshzxetdg", "A"),
            ("mEKgx", "gxKEm"),
            ("EE$", "$E"),
            ("nAK", "AK"),
            ("nxK", "xnK"),
        ] {
            assert_eq!(EventClasses::parse(given).expect(given).to_string(), shown);
        }
        for wrong in ["q", "K E", "a", "k", "Kä"] {
            assert_eq!(EventClasses::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn nothing_is_told_that_no_channel_is_for() {
        let kinds = |text| EventClasses::parse(text).expect(text).kinds();
        assert_eq!(kinds("Anm"), Kinds::NONE);
        assert_eq!(kinds("Kg"), Kinds::GENERIC);
        assert_eq!(kinds("Elm"), Kinds::MISSED);
    }
}
