//! The fuzz targets of `tests/fuzz`, on random input that looks like requests.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::support::{seed, setting};

#[path = "fuzz/decode.rs"]
mod decode;
#[path = "fuzz/files.rs"]
mod files;

const PIECES: [&[u8]; 16] = [
    b"*1\r\n",
    b"*2\r\n",
    b"*0\r\n",
    b"*-1\r\n",
    b"$4\r\nPING\r\n",
    b"$0\r\n\r\n",
    b"$3\r\nabc\r\n",
    b"$",
    b"*",
    b"\r\n",
    b"\n",
    b"\"a\\x41\"",
    b" ",
    b"PING",
    b"'",
    b"99999999999999999999",
];

#[test]
fn the_decoder_holds_on_random_input() {
    let mut rng = SmallRng::seed_from_u64(seed());
    for _ in 0..setting("SEAWALL_FUZZ_INPUTS", 20_000) {
        let mut data: Vec<u8> = (0..4).map(|_| rng.random_range(0..12)).collect();
        for _ in 0..rng.random_range(0..12) {
            if rng.random_ratio(1, 8) {
                data.push(rng.random());
            } else {
                data.extend_from_slice(PIECES.choose(&mut rng).copied().unwrap_or_default());
            }
        }
        let shown = data.clone();
        if std::panic::catch_unwind(|| decode::check(&data)).is_err() {
            panic!("input: {}", shown.escape_ascii());
        }
    }
}

/// What RDB files and append-only files are made of.
const FILE_PIECES: [&[u8]; 20] = [
    b"REDIS0010",
    b"\xfe\x03",
    b"\xfb\x01\x01",
    b"\xfa\x01a\x01b",
    b"\xfc\x01\0\0\0\0\0\0\0",
    b"\0\x01k\x01v",
    b"\0\x01k\xc3\x05\x0a\x00x\xe0\x00\x00",
    b"\x01\x01l\x02\x01a\xc0\x05",
    b"\x05\x01z\x01\x01a12345678",
    b"\xff\0\0\0\0\0\0\0\0",
    b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n5\r\n",
    b"*2\r\n$4\r\nINCR\r\n$1\r\na\r\n",
    b"*3\r\n$6\r\nRENAME\r\n$1\r\na\r\n$1\r\nb\r\n",
    b"*4\r\n$6\r\nSETBIT\r\n$1\r\nb\r\n$1\r\n7\r\n$1\r\n1\r\n",
    b"*2\r\n$6\r\nSELECT\r\n$1\r\n1\r\n",
    b"*1\r\n$5\r\nMULTI\r\n",
    b"*1\r\n$4\r\nEXEC\r\n",
    b"*2\r\n$4\r\nWHAT\r\n$1\r\na\r\n",
    b"#TS:1\r\n",
    b"\0\0\0",
];

#[test]
fn the_readers_of_files_hold_on_random_input() {
    let mut rng = SmallRng::seed_from_u64(seed());
    for _ in 0..setting("SEAWALL_FUZZ_INPUTS", 3_000) {
        let mut data = vec![rng.random_range(0..40)];
        for _ in 0..rng.random_range(0..12) {
            data.extend_from_slice(FILE_PIECES.choose(&mut rng).copied().unwrap_or_default());
        }
        if rng.random() && data.len() > 1 {
            let at = rng.random_range(1..data.len());
            data[at] = rng.random();
        }
        let shown = data.clone();
        if std::panic::catch_unwind(|| files::check(&data)).is_err() {
            panic!("input: {}", shown.escape_ascii());
        }
    }
}
