#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use proptest::prelude::*;

use super::*;
use crate::wal::fs::OsFs;

fn header(sequence: u64, first_lsn: Lsn) -> SegmentHeader {
    SegmentHeader {
        format: FORMAT_VERSION,
        log: LogId::new([3; 16]),
        sequence,
        first_lsn,
        link: [9; DIGEST_LEN],
        created_ms: 1_700_000_000_000,
    }
}

proptest! {
    #[test]
    fn headers_and_names_come_back_and_no_flipped_bit_passes(
        sequence: u64, first_lsn: u64, bit in 0..HEADER_LEN * 8,
    ) {
        let header = header(sequence, first_lsn);
        let mut bytes = header.encode();
        prop_assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        prop_assert_eq!(parse_name(&header.file_name()), Some((sequence, first_lsn)));
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(SegmentHeader::decode(&bytes), Err(SegmentError::Damaged));
    }
}

/// The digest of the header is what the chain of frames begins with.
#[test]
fn a_header_of_another_format_keeps_its_digest() {
    for format in [4, 7] {
        let written = SegmentHeader { format, ..header(1, 1) };
        let read = SegmentHeader::decode(&written.encode()).unwrap();
        assert_eq!(read.digest(), written.encode()[HEADER_LEN - DIGEST_LEN..]);
        assert_ne!(read.digest(), header(1, 1).digest());
    }
}

#[test]
fn a_segment_for_a_later_reader_or_of_an_early_format_is_refused_as_such() {
    for (at, version) in [(10, 4), (8, 2)] {
        let mut bytes = header(1, 1).encode();
        bytes[at] = version;
        let digest = digest(&bytes);
        bytes[88..].copy_from_slice(&digest);
        let decoded = SegmentHeader::decode(&bytes);
        assert!(matches!(decoded, Err(SegmentError::OtherVersion(_))), "{decoded:?}");
    }
}

#[test]
fn foreign_files_are_no_segments() {
    for name in ["LOCK", "1-1.wal", "00000000000000000001-00000000000000000001.wal.new", "é.wal"] {
        assert_eq!(parse_name(name), None, "{name}");
    }
}

#[test]
fn a_segment_appears_under_its_name_with_what_it_starts_with() {
    let dir = tempfile::tempdir().unwrap();
    let header = header(4, 77);
    create(&OsFs, dir.path(), &header, b"frames").unwrap();
    let found = list(&OsFs, dir.path()).unwrap();
    assert_eq!(found, vec![(4, 77, dir.path().join(header.file_name()))]);
    let bytes = std::fs::read(&found[0].2).unwrap();
    assert_eq!(&bytes[HEADER_LEN..], b"frames");
}
