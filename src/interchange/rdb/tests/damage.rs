//! Files that are not what was written: found out, without a panic and without much memory.

use proptest::prelude::*;

use super::*;
use crate::interchange::rdb::lzf;

/// More than a buffer keeps for the next string.
const SLACK: usize = 4 << 20;

/// A file with something of everything.
fn rich() -> Vec<u8> {
    let mut items: Vec<Vec<u8>> = vec![
        b"\xfa\x03ver\x017".to_vec(),
        b"\xfe\x02\xfb\x01\x01".to_vec(),
        b"\xfc\x01\0\0\0\0\0\0\0\0\x01d\xc3\x05\x0a\x00x\xe0\x00\x00".to_vec(),
    ];
    for (number, value, _) in others() {
        items.push([&[number], &b"\x01o"[..], &value].concat());
    }
    items.push(SENTINEL.to_vec());
    let items: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
    file("REDIS0012", &items)
}

/// Reads to the end or to the first error, and looks at the memory all the while.
fn survives(bytes: &[u8]) -> bool {
    let Ok(mut reader) = Reader::new(bytes) else { return false };
    loop {
        let read = reader.read().map(|item| item.is_some());
        assert!(reader.held() <= 200 * bytes.len() + SLACK, "{} bytes", reader.held());
        match read {
            Ok(true) => {}
            // An older version has no checksum: it is left over then.
            Ok(false) => return reader.into_source().is_empty(),
            Err(_) => return false,
        }
    }
}

#[test]
fn no_cut_and_no_flipped_bit_passes() {
    let whole = rich();
    assert!(survives(&whole));
    for len in 0..whole.len() {
        assert!(!survives(&whole[..len]), "cut at {len}");
    }
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(!survives(&bytes), "bit {bit}");
    }
}

#[test]
fn a_declared_length_allocates_nothing_by_itself() {
    for value in [
        &b"\x81\x10\0\0\0\0\0\0\0abc"[..],
        b"\x80\xff\xff\xff\xffabc",
        b"\xc3\x81\x10\0\0\0\0\0\0\0\x81\x10\0\0\0\0\0\0\0abc",
        b"\xc3\x03\x81\x10\0\0\0\0\0\0\0abc",
    ] {
        let bytes = [b"REDIS0010\0\x01k", value].concat();
        let mut reader = Reader::new(&*bytes).unwrap();
        assert!(matches!(reader.read(), Err(ReadError::Damaged { .. })));
        assert!(reader.held() < 1024, "{} bytes", reader.held());
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        survives(&[&b"REDIS0011"[..], &bytes].concat());
    }

    #[test]
    fn no_change_makes_it_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = rich();
        for (at, byte) in changes {
            let at = at.index(bytes.len() - 9) + 9;
            bytes[at] = byte;
        }
        survives(&bytes);
    }

    #[test]
    fn lzf_is_what_its_steps_say(
        steps in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 1..=32).prop_map(Ok),
                (3usize..=264, any::<prop::sample::Index>()).prop_map(Err),
            ],
            1..20,
        ),
    ) {
        let (mut packed, mut plain) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Ok(literal) => {
                    packed.push(literal.len() as u8 - 1);
                    packed.extend_from_slice(&literal);
                    plain.extend_from_slice(&literal);
                }
                Err(_) if plain.is_empty() => {}
                Err((count, back)) => {
                    let back = back.index(plain.len().min(8192)) + 1;
                    let high = ((back - 1) >> 8) as u8;
                    if count < 9 {
                        packed.push((count as u8 - 2) << 5 | high);
                    } else {
                        packed.extend_from_slice(&[0xe0 | high, (count - 9) as u8]);
                    }
                    packed.push((back - 1) as u8);
                    for _ in 0..count {
                        plain.push(plain[plain.len() - back]);
                    }
                }
            }
        }
        let mut out = Vec::new();
        let done = lzf::decompress(&packed, plain.len() as u64, &mut out);
        prop_assert_eq!(done, Ok(()));
        prop_assert_eq!(&out, &plain);
        out.clear();
        prop_assert!(lzf::decompress(&packed, plain.len() as u64 + 1, &mut out).is_err());
    }
}
