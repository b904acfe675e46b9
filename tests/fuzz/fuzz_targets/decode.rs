//! Fuzzes the request decoder: `cargo +nightly fuzz run decode` in `tests/`.

#![no_main]

#[path = "../decode.rs"]
mod decode;

libfuzzer_sys::fuzz_target!(|data: &[u8]| decode::check(data));
