//! Fuzzes the request decoder: see `tests/fuzz/README.md`.

#![no_main]

#[path = "../decode.rs"]
mod decode;

libfuzzer_sys::fuzz_target!(|data: &[u8]| decode::check(data));
