#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use proptest::prelude::*;

use super::*;

fn encode(words: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

type Found = (Vec<(u64, Vec<Vec<u8>>)>, Option<u64>);

/// Every command with its offset, and where the file is cut.
fn read(bytes: &[u8]) -> Result<Found, ReadError> {
    let mut commands = Commands::new(bytes, 0);
    let mut found = Vec::new();
    loop {
        let cut = match commands.read()? {
            Next::Command(offset, args) => {
                found.push((offset, args.from(0).map(<[u8]>::to_vec).collect()));
                continue;
            }
            Next::Cut(offset) => Some(offset),
            Next::End => None,
        };
        assert!(commands.buffer.capacity() <= 8 * bytes.len() + KEEP);
        return Ok((found, cut));
    }
}

proptest! {
    #[test]
    fn what_was_written_is_read_and_what_was_cut_is_found(
        commands in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..5),
            0..8,
        ),
        notes in prop::collection::vec(any::<bool>(), 8),
        cut in any::<prop::sample::Index>(),
    ) {
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for (words, note) in commands.iter().zip(notes) {
            if note {
                bytes.extend_from_slice(b"#TS:1700000000\r\n");
            }
            expected.push((bytes.len() as u64, words.clone()));
            bytes.extend_from_slice(&encode(words));
        }
        prop_assert_eq!(read(&bytes).unwrap(), (expected.clone(), None));
        let len = cut.index(bytes.len() + 1);
        let (found, torn) = read(&bytes[..len]).unwrap();
        prop_assert_eq!(&found[..], &expected[..found.len()]);
        let begins = |offset: &u64| expected.iter().all(|(at, _)| at <= offset) || found.len() < expected.len();
        prop_assert!(torn.as_ref().is_none_or(begins));
        // Zeros behind a whole command are what a crash leaves; in a command they are data.
        let mut padded = bytes.clone();
        padded.extend_from_slice(&[0; 100]);
        prop_assert_eq!(read(&padded).unwrap(), (expected, Some(bytes.len() as u64)));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
        let _ = read(&[&b"*3\r\n$3\r\nSET\r\n"[..], &bytes].concat());
    }
}

#[test]
fn what_is_no_command_is_named_with_its_place() {
    let one = encode(&[b"SET".to_vec(), b"k".to_vec(), b"v".to_vec()]);
    for (behind, text) in [
        (&b"SET k v\r\n"[..], "'S' begins no command"),
        (b"*1\r\n:5\r\n", "expected '$'"),
        (b"*x\r\n", "invalid multibulk length"),
        (b"*1\r\n$600000000\r\n", "invalid bulk length"),
        (b"\0\0\0*1\r\n", "more behind them"),
    ] {
        let Err(ReadError::Damaged { offset, what }) = read(&[&one[..], behind].concat()) else {
            panic!("{text}")
        };
        assert_eq!(offset, one.len() as u64);
        assert!(what.contains(text), "{what}");
    }
}
