#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

use proptest::prelude::*;

use super::*;

const LOG: LogId = LogId::new([7; 16]);

fn small_header() -> FrameHeader {
    FrameHeader {
        payload_len: 3,
        count: 1,
        first_lsn: 1,
        durable_lsn: 0,
        wall_ms: 5,
        packed: false,
    }
}

fn encoded(header: &FrameHeader) -> Vec<u8> {
    let mut bytes = Vec::new();
    header.encode(&LOG, &mut bytes);
    bytes
}

proptest! {
    #[test]
    fn headers_come_back_and_no_flipped_bit_passes(
        payload_len in 0..=MAX_PAYLOAD, count: u32, first_lsn: u64, durable_lsn: u64, wall_ms: u64,
        packed: bool, bit: prop::sample::Index,
    ) {
        let header =
            FrameHeader { payload_len, count, first_lsn, durable_lsn, wall_ms, packed };
        let mut bytes = encoded(&header);
        prop_assert_eq!(bytes.len(), header.header_len());
        prop_assert!((MIN_HEADER_LEN..=MAX_HEADER_LEN).contains(&bytes.len()));
        bytes.extend_from_slice(b"payload");
        prop_assert_eq!(FrameHeader::decode(&bytes, &LOG), Ok(header));
        let bit = bit.index(header.header_len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(FrameHeader::decode(&bytes, &LOG), Err(HeaderError::NotAFrame));
    }
}

proptest! {
    /// Whatever a checksum fits: there are no two ways to write one header.
    #[test]
    fn what_is_read_as_a_header_is_written_as_the_same_bytes(
        flags in 0..4u8,
        varints in prop::collection::vec((prop::collection::vec(128u8.., 0..11), 0..128u8), 5),
    ) {
        let mut bytes = MARK.to_vec();
        bytes.extend_from_slice(&[0, 0, 0, 0, flags]);
        for (more, last) in varints {
            bytes.extend_from_slice(&more);
            bytes.push(last);
        }
        let bytes = checked(bytes);
        match FrameHeader::decode(&bytes, &LOG) {
            Ok(header) => prop_assert_eq!(encoded(&header), bytes),
            Err(HeaderError::Unsupported { flags: unknown }) => {
                prop_assert_eq!((unknown, unknown & !PACKED != 0), (flags, true));
            }
            Err(HeaderError::NotAFrame) => {}
        }
    }
}

#[test]
fn a_frame_of_another_log_is_none() {
    let other = LogId::new([8; 16]);
    let bytes = encoded(&small_header());
    assert_eq!(FrameHeader::decode(&bytes, &other), Err(HeaderError::NotAFrame));
}

#[test]
fn a_header_that_is_cut_off_is_none() {
    let bytes = encoded(&small_header());
    for len in 0..bytes.len() {
        let decoded = FrameHeader::decode(&bytes[..len], &LOG);
        assert_eq!(decoded, Err(HeaderError::NotAFrame), "{len} bytes");
    }
}

/// `bytes` with a checksum that fits.
fn checked(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = LOG.checksum(&bytes[FIELDS_AT..]);
    bytes[CHECKSUM_AT..FIELDS_AT].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

#[test]
fn a_later_version_is_told_from_damage() {
    let mut bytes = encoded(&small_header());
    bytes[FIELDS_AT] = 3;
    let decoded = FrameHeader::decode(&checked(bytes), &LOG);
    assert_eq!(decoded, Err(HeaderError::Unsupported { flags: 3 }));
}

/// A header has one length only, so where the payload begins follows from its fields.
#[test]
fn a_header_with_a_longer_varint_than_it_needs_is_none() {
    let mut bytes = encoded(&small_header());
    bytes.splice(FIELDS_AT + 1..FIELDS_AT + 2, [0x83, 0]);
    assert_eq!(FrameHeader::decode(&checked(bytes), &LOG), Err(HeaderError::NotAFrame));
}

/// The bytes that docs/wal-format.md promises.
#[test]
fn the_layout_is_the_documented_one() {
    let header = FrameHeader {
        payload_len: 90,
        count: 1,
        first_lsn: 300,
        durable_lsn: 99,
        wall_ms: 1_753_000_000_000,
        packed: true,
    };
    let mut bytes = Vec::new();
    let digest = append_frame(&mut bytes, &LOG, &[9; DIGEST_LEN], &header, &[6; 90]);
    assert_eq!(&bytes[..2], b"\xF5W");
    assert_eq!(bytes[2..6], crc32c::crc32c(&[&[7; 16], &bytes[6..19]].concat()).to_le_bytes());
    let wall = [0x80, 0xF4, 0xC4, 0xB7, 0x82, 0x33];
    assert_eq!(bytes[6..19], [&[1, 90, 1, 0xAC, 2, 0xC9, 1], &wall[..]].concat());
    assert_eq!((&bytes[19..109], bytes.len()), (&[6; 90][..], 125));
    let whole = Sha256::digest([&[9; 16], &bytes[..109]].concat());
    assert_eq!((&bytes[109..], &digest[..]), (&whole[..16], &whole[..16]));
    assert_eq!(encoded(&small_header())[6], 0);
}

/// A client that writes alone pays for a frame with every record.
#[test]
fn a_frame_costs_less_than_a_command_of_an_append_only_file() {
    for first_lsn in [1 << 20, 1 << 40, 1 << 62] {
        let header = FrameHeader {
            payload_len: 90,
            count: 1,
            first_lsn,
            durable_lsn: first_lsn - 60_000,
            wall_ms: 1_753_000_000_000,
            packed: false,
        };
        // What Redis writes for a SET with a time to live: 16 bytes of key, 64 of value.
        assert!(header.frame_len() <= 137, "{} bytes", header.frame_len());
    }
}
