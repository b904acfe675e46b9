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

proptest! {
    #[test]
    fn headers_come_back_and_no_flipped_bit_passes(
        payload_len in 0..=MAX_PAYLOAD, count: u32, first_lsn: u64, durable_lsn: u64, wall_ms: u64,
        packed: bool, bit in 0..HEADER_LEN * 8,
    ) {
        let header =
            FrameHeader { payload_len, count, first_lsn, durable_lsn, wall_ms, packed };
        let mut bytes = header.encode(&LOG);
        prop_assert_eq!(FrameHeader::decode(&bytes, &LOG), Ok(header));
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(FrameHeader::decode(&bytes, &LOG), Err(HeaderError::NotAFrame));
    }
}

#[test]
fn a_frame_of_another_log_is_none() {
    let header = small_header();
    let bytes = header.encode(&LOG);
    let other = LogId::new([8; 16]);
    assert_eq!(FrameHeader::decode(&bytes, &other), Err(HeaderError::NotAFrame));
}

#[test]
fn a_later_version_is_told_from_damage() {
    let header = small_header();
    let mut bytes = header.encode(&LOG);
    bytes[5] = 2;
    let checksum = LOG.checksum(&bytes[..40]);
    bytes[40..].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(
        FrameHeader::decode(&bytes, &LOG),
        Err(HeaderError::Unsupported { version: 1, flags: 2 })
    );
}

/// The bytes that docs/wal-format.md promises.
#[test]
fn the_layout_is_the_documented_one() {
    let header = FrameHeader {
        payload_len: 0x0605_0403_0201,
        count: 0x0d0c_0b0a,
        first_lsn: 1,
        durable_lsn: 2,
        wall_ms: 3,
        packed: true,
    };
    let bytes = header.encode(&LOG);
    assert_eq!(&bytes[..6], b"SWF1\x01\x01");
    assert_eq!(&bytes[6..16], &[1, 2, 3, 4, 5, 6, 0x0a, 0x0b, 0x0c, 0x0d]);
    assert_eq!((le(&bytes[16..24]), le(&bytes[24..32]), le(&bytes[32..40])), (1, 2, 3));
    assert_eq!(small_header().encode(&LOG)[5], 0);
}
