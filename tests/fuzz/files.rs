//! What must hold of the readers of Redis' files for any input, however it arrives.
//!
//! Included by the fuzz target and by a test that runs it on random input.

use std::io::{BufReader, Cursor};

use seawall::interchange::aof::{Commands, Next, Replay};
use seawall::interchange::rdb::Reader;

/// Everything an RDB file holds, as text, read so many bytes at a time; and how that ended.
fn rdb(input: &[u8], at_a_time: usize) -> Vec<String> {
    let mut found = Vec::new();
    let source = BufReader::with_capacity(at_a_time, Cursor::new(input));
    let mut reader = match Reader::new(source) {
        Ok(reader) => reader,
        Err(error) => return vec![error.to_string()],
    };
    loop {
        match reader.read() {
            Ok(Some(item)) => {
                found.push(format!("{item:?}"));
            }
            Ok(None) => break,
            Err(error) => {
                found.push(error.to_string());
                break;
            }
        }
    }
    assert!(reader.offset() <= input.len() as u64);
    found
}

/// What commands lead to, and how that ended.
fn commands(input: &[u8], at_a_time: usize) -> Vec<String> {
    let source = BufReader::with_capacity(at_a_time, Cursor::new(input));
    let (mut commands, mut replay) = (Commands::new(source, 0), Replay::new(1_700_000_000_000));
    let end = loop {
        match commands.read() {
            Ok(Next::Command(offset, args)) => {
                if let Err(error) = replay.apply(&args) {
                    break format!("{offset}: {error}");
                }
            }
            Ok(end @ (Next::End | Next::Cut(_))) => break format!("{end:?}"),
            Err(error) => break error.to_string(),
        }
    };
    vec![end, format!("{:?}", replay.so_far())]
}

/// Panics if what is read depends on how it arrives. The first byte of `data` says how.
pub fn check(data: &[u8]) {
    let Some((&at_a_time, input)) = data.split_first() else { return };
    let at_a_time = usize::from(at_a_time) + 1;
    assert_eq!(rdb(input, at_a_time), rdb(input, 1 << 16), "pieces change the meaning");
    assert_eq!(commands(input, at_a_time), commands(input, 1 << 16), "pieces change the meaning");
}
