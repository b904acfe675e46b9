//! Random scripts over few keys, so that they meet each other.

use proptest::prelude::*;

use super::super::Expiry;
use super::*;

#[derive(Debug, Clone)]
pub enum Op {
    Get(u8, u8),
    Touch(u8, u8),
    Set(u8, u8, usize, When),
    Append(u8, u8, usize),
    SetRange(u8, u8, usize, usize),
    Remove(u8, u8),
    Move(u8, u8, u8, u8),
    Expire(u8, u8, When),
    Flush(Option<u8>),
    Swap(u8, u8),
    Sweep(u32),
    Pass(u64),
    Limit(u64),
}

#[derive(Debug, Clone, Copy)]
pub enum When {
    Default,
    Never,
    Keep,
    After(u64),
    Past,
}

impl When {
    pub fn expiry(self, now: UnixMs) -> Expiry {
        match self {
            Self::Default => Expiry::Default,
            Self::Never => Expiry::Never,
            Self::Keep => Expiry::Keep,
            Self::After(ms) => Expiry::At(now + ms),
            Self::Past => Expiry::At(now),
        }
    }
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        2 => Just(When::Default),
        2 => Just(When::Never),
        2 => Just(When::Keep),
        4 => (1u64..300).prop_map(When::After),
        1 => (1u64..100_000_000).prop_map(When::After),
        1 => Just(When::Past),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let db = || prop_oneof![4 => Just(0u8), 1 => Just(1u8), 1 => Just(2u8)];
    let k = || 0u8..40;
    prop_oneof![
        6 => (db(), k()).prop_map(|(d, k)| Op::Get(d, k)),
        2 => (db(), k()).prop_map(|(d, k)| Op::Touch(d, k)),
        12 => (db(), k(), 0usize..400, when()).prop_map(|(d, k, v, w)| Op::Set(d, k, v, w)),
        3 => (db(), k(), 0usize..200).prop_map(|(d, k, v)| Op::Append(d, k, v)),
        3 => (db(), k(), 0usize..300, 0usize..50).prop_map(|(d, k, o, v)| Op::SetRange(d, k, o, v)),
        3 => (db(), k()).prop_map(|(d, k)| Op::Remove(d, k)),
        2 => (db(), k(), db(), k()).prop_map(|(d, k, e, l)| Op::Move(d, k, e, l)),
        3 => (db(), k(), when()).prop_map(|(d, k, w)| Op::Expire(d, k, w)),
        1 => proptest::option::of(db()).prop_map(Op::Flush),
        1 => (db(), db()).prop_map(|(a, b)| Op::Swap(a, b)),
        2 => (0u32..20).prop_map(Op::Sweep),
        4 => prop_oneof![4 => 1u64..100, 1 => 1u64..10_000_000].prop_map(Op::Pass),
        1 => (0u64..40).prop_map(Op::Limit),
    ]
}

pub fn script() -> impl Strategy<Value = Vec<Op>> {
    script_up_to(250)
}

/// As [`script`], of less than `most` operations.
pub fn script_up_to(most: usize) -> impl Strategy<Value = Vec<Op>> {
    proptest::collection::vec(op(), 1..most)
}

/// The name of a key: some are long, so that blocks differ.
pub fn name(k: u8) -> Vec<u8> {
    let mut name = format!("key:{k}").into_bytes();
    name.resize(name.len() + usize::from(k % 7) * 5, b'.');
    name
}
