//! The fuzz targets of `tests/fuzz`, on random input that looks like requests.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::support::{seed, setting};

#[path = "fuzz/decode.rs"]
mod decode;

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
