//! Fuzzes the readers of Redis' files: see `tests/fuzz/README.md`.

#![no_main]

#[path = "../files.rs"]
mod files;

libfuzzer_sys::fuzz_target!(|data: &[u8]| files::check(data));
