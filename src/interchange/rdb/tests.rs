//! Files put together byte by byte. Files that a real server wrote are read in the end-to-end
//! tests.

#![allow(clippy::unwrap_used, reason = "a failure is the end of a test")]

mod damage;

use super::*;
use crate::interchange::ReadError;

/// A file: its beginning, its items, and the end with its checksum.
fn file(magic: &str, items: &[&[u8]]) -> Vec<u8> {
    let mut bytes = magic.as_bytes().to_vec();
    items.iter().for_each(|item| bytes.extend_from_slice(item));
    bytes.push(opcode::END);
    let sum = CRC.checksum(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// Every item as text.
fn read(bytes: &[u8]) -> Result<Vec<String>, ReadError> {
    let mut reader = Reader::new(bytes)?;
    let mut items = Vec::new();
    while let Some(item) = reader.read()? {
        items.push(match item {
            Item::String { db, key, value, expires_at } => {
                let (key, value) = (key.escape_ascii(), value.escape_ascii());
                let at = expires_at.map_or_else(String::new, |at| format!(" until {at}"));
                format!("{db} {key}={value}{at}")
            }
            Item::Other { kind, .. } => kind.name().to_owned(),
        });
    }
    assert_eq!(reader.offset(), bytes.len() as u64);
    Ok(items)
}

/// The string `k`, with the value `v`, in database 0.
const SENTINEL: &[u8] = b"\0\x01k\x01v";

#[test]
fn the_checksum_is_the_one_of_redis() {
    // The check value in Redis' own crc64.c.
    assert_eq!(CRC.checksum(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
}

#[test]
fn every_encoding_of_a_string_is_read() {
    let long = [b'x'; 70];
    let mut items: Vec<Vec<u8>> = vec![
        b"\0\xc0\x85\x01a".to_vec(),
        b"\0\xc1\x00\x80\x01b".to_vec(),
        b"\0\xc2\xff\xff\xff\x7f\x01c".to_vec(),
        // Ten times x: a literal, and a run of nine from one byte back.
        b"\0\x01d\xc3\x05\x0a\x00x\xe0\x00\x00".to_vec(),
        b"\0\x01e\x00".to_vec(),
    ];
    for length in [&[0x40, 70][..], &[0x80, 0, 0, 0, 70], &[0x81, 0, 0, 0, 0, 0, 0, 0, 70]] {
        items.push([&b"\0\x01f"[..], length, &long].concat());
    }
    let items: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
    let x70 = format!("0 f={}", "x".repeat(70));
    assert_eq!(
        read(&file("REDIS0010", &items)).unwrap(),
        ["0 -123=a", "0 -32768=b", "0 2147483647=c", "0 d=xxxxxxxxxx", "0 e=", &x70, &x70, &x70]
    );
}

#[test]
fn databases_expiries_and_hints_are_told_apart() {
    let items: &[&[u8]] = &[
        b"\xfa\x09redis-ver\x057.0.1",
        b"\xfa\x0aredis-bits\xc0\x40",
        b"\xfe\x03",
        b"\xfb\x02\x01",
        b"\xfc\x01\0\0\0\0\0\0\0\xf8\x09\0\x01a\x01A",
        b"\xfd\x01\0\0\0\xf9\x05\0\x01b\x01B",
        // Before 1970, and the moment itself.
        b"\xfc\xff\xff\xff\xff\xff\xff\xff\xff\0\x01c\x01C",
        b"\xfc\0\0\0\0\0\0\0\0\0\x01d\x01D",
        b"\xfe\x81\0\0\0\x01\0\0\0\0",
        b"\xf4\x01\x02\x03",
        SENTINEL,
    ];
    assert_eq!(
        read(&file("REDIS0012", items)).unwrap(),
        ["3 a=A until 1", "3 b=B until 1000", "3 c=C until 1", "3 d=D until 1", "4294967296 k=v"]
    );
}

/// A stream of one node, with one group, one pending entry and one consumer.
fn stream(version: u8) -> Vec<u8> {
    let mut value = b"\x01\x10iiiiiiiiiiiiiiii\x03lpk\x01\x02\x03".to_vec();
    if version > 1 {
        value.extend_from_slice(b"\x04\x05\x06\x07\x08");
    }
    value.extend_from_slice(b"\x01\x01g\x01\x02");
    if version > 1 {
        value.push(9);
    }
    value.extend_from_slice(b"\x01iiiiiiiiiiiiiiiitttttttt\x02");
    value.extend_from_slice(b"\x01\x01cssssssss");
    if version > 2 {
        value.extend_from_slice(b"aaaaaaaa");
    }
    value.extend_from_slice(b"\x01iiiiiiiiiiiiiiii");
    value
}

/// A value of every type but the string: number, value, and what it is.
fn others() -> Vec<(u8, Vec<u8>, &'static str)> {
    let mut all: Vec<(u8, Vec<u8>, &str)> = [
        (1, &b"\x02\x01a\xc0\x05"[..], "list"),
        (2, b"\x01\x01a", "set"),
        (3, b"\x04\x01a\x031.5\x01b\xff\x01c\xfe\x01d\xfd", "sorted set"),
        (4, b"\x01\x01f\xc3\x05\x0a\x00x\xe0\x00\x00", "hash"),
        (5, b"\x01\x01a12345678", "sorted set"),
        (7, b"\x81\0\0\0\0\0\0\0\x09\x01\x05\x02\x06\x0312345\x04", "module type"),
        (9, b"\x03zip", "hash"),
        (10, b"\x03zip", "list"),
        (11, b"\x03int", "set"),
        (12, b"\x03zip", "sorted set"),
        (13, b"\x03zip", "hash"),
        (14, b"\x02\x03zip\x03zip", "list"),
        (16, b"\x03lpk", "hash"),
        (17, b"\x03lpk", "sorted set"),
        (18, b"\x02\x01\x03raw\x02\x03lpk", "list"),
        (20, b"\x03lpk", "set"),
        (22, b"\x02\x00\x01f\x01v\x05\x01g\x01w", "hash"),
        (23, b"\x03lpk", "hash"),
        (24, b"minimum!\x01\x05\x01g\x01w", "hash"),
        (25, b"minimum!\x03lpk", "hash"),
    ]
    .map(|(number, value, name)| (number, value.to_vec(), name))
    .into();
    // Signed, unsigned, float, double, string, end.
    all[5].1 = b"\x81\0\0\0\0\0\0\0\x09\x01\x05\x02\x06\x031234\x0412345678\x05\x02hi\x00".to_vec();
    for (version, number) in [(1, 15), (2, 19), (3, 21)] {
        all.push((number, stream(version), "stream"));
    }
    all
}

#[test]
fn every_other_type_is_passed_over_to_its_end() {
    for (number, value, name) in others() {
        let item = [&[number], &b"\x05other"[..], &value].concat();
        let found = read(&file("REDIS0012", &[&item, SENTINEL]));
        assert_eq!(found.unwrap(), [name, "0 k=v"], "type {number}");
    }
    let item = b"\x16\x01h\x01\x01f\x01v12345678";
    assert_eq!(read(&file("VALKEY080", &[item, SENTINEL])).unwrap(), ["hash", "0 k=v"]);
    let items: &[&[u8]] = &[b"\xf5\x04#!lu", b"\xf7\x09\x02\x01\x05\x02hi\x00", SENTINEL];
    assert_eq!(
        read(&file("REDIS0011", items)).unwrap(),
        ["function library", "module data", "0 k=v"]
    );
}

#[test]
fn an_unknown_type_or_version_is_said_to_be_unknown() {
    let Err(ReadError::Unknown { offset, what }) =
        read(&file("REDIS0012", &[SENTINEL, b"\x63\x01k\x01v"]))
    else {
        panic!("a type that nobody has heard of")
    };
    assert_eq!(offset, 9 + SENTINEL.len() as u64 + 3);
    assert!(what.contains("type 99"), "{what}");
    for magic in ["REDIS0013", "REDIS0000", "VALKEY081", "REDIS+010"] {
        let found = read(&file(magic, &[]));
        assert!(matches!(found, Err(ReadError::Unknown { offset: 0, .. })), "{magic}: {found:?}");
    }
    assert!(matches!(read(b"PK\x03\x04 something else"), Err(ReadError::Damaged { .. })));
}

#[test]
fn a_checksum_that_was_not_made_is_not_missed() {
    let mut bytes = file("REDIS0009", &[SENTINEL]);
    let end = bytes.len() - 8;
    bytes[end..].fill(0);
    assert_eq!(read(&bytes).unwrap(), ["0 k=v"]);
    let mut old = file("REDIS0004", &[SENTINEL]);
    old.truncate(old.len() - 8);
    assert_eq!(read(&old).unwrap(), ["0 k=v"]);
}

#[test]
fn what_is_behind_the_end_is_left_alone() {
    let mut bytes = file("REDIS0010", &[SENTINEL]);
    bytes.extend_from_slice(b"*1\r\n");
    let mut reader = Reader::new(&*bytes).unwrap();
    while reader.read().unwrap().is_some() {}
    assert_eq!(reader.into_source(), b"*1\r\n");
}

#[test]
fn what_is_written_is_read_again() {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, &[("seawall-ver", "1")]).unwrap();
    writer.database(3, 5, 1).unwrap();
    let mut expected = Vec::new();
    for len in [0, 63, 64, 16_383, 16_384, 70_000] {
        let value = vec![b'x'; len];
        let at = (len > 64).then_some(1_700_000_000_000 + len as u64);
        writer.entry(len.to_string().as_bytes(), &value, at).unwrap();
        let until = at.map_or_else(String::new, |at| format!(" until {at}"));
        expected.push(format!("3 {len}={}{until}", "x".repeat(len)));
    }
    writer.database(200, 1, 0).unwrap();
    writer.entry(b"k", b"v", Some(u64::MAX)).unwrap();
    expected.push(format!("200 k=v until {}", i64::MAX));
    let len = writer.finish().unwrap();
    assert_eq!(len, bytes.len() as u64);
    assert_eq!(read(&bytes).unwrap(), expected);
}
