//! What must hold of the request decoder for any input, however it is split.
//!
//! Included by the fuzz target and by a test that runs it on random input.

use std::ops::ControlFlow;

use seawall::resp::codec::{Decoder, MAX_ARGS, ProtocolError, RequestLimits};

type Requests = Vec<Vec<Vec<u8>>>;

/// Decodes `input` as it arrives in pieces of these lengths, repeated as often as needed.
fn decode(input: &[u8], pieces: &[usize], trusted: bool) -> (Requests, Option<ProtocolError>) {
    let limits = RequestLimits { max_args: MAX_ARGS, max_bulk: 64 << 20, trusted };
    let (mut decoder, mut buffer, mut requests) = (Decoder::default(), Vec::new(), Vec::new());
    let (mut rest, mut turn) = (input, 0);
    while !rest.is_empty() {
        let length = pieces.get(turn % pieces.len().max(1)).copied().unwrap_or(rest.len());
        let (piece, later) = rest.split_at(length.clamp(1, rest.len()));
        (rest, turn) = (later, turn + 1);
        buffer.extend_from_slice(piece);
        let mut at = 0;
        loop {
            let mut spans = Vec::new();
            match decoder.decode(&mut buffer, at, &mut spans, &limits) {
                Ok(ControlFlow::Continue(next)) => {
                    assert!(next > at && next <= buffer.len(), "a request takes bytes it has");
                    at = next;
                }
                Ok(ControlFlow::Break(())) => break,
                Err(error) => return (requests, Some(error)),
            }
            let words: Vec<Vec<u8>> = spans
                .iter()
                .map(|span| {
                    let start = span.start as usize;
                    buffer[start..start + span.len as usize].to_vec()
                })
                .collect();
            requests.push(words);
        }
        buffer.drain(..at);
    }
    (requests, None)
}

/// Panics if splitting the input changes what it means, or if strangers may send more than
/// friends. The first bytes of `data` choose the splits.
pub fn check(data: &[u8]) {
    let (header, input) = data.split_at(data.len().min(4));
    let pieces: Vec<usize> = header.iter().map(|&byte| usize::from(byte) + 1).collect();
    let whole = decode(input, &[], true);
    assert_eq!(whole, decode(input, &pieces, true), "splits change the meaning");
    assert_eq!(whole, decode(input, &[1], true), "splits change the meaning");
    let (stranger, error) = decode(input, &pieces, false);
    assert!(stranger.len() <= whole.0.len());
    assert!(error.is_some() || stranger == whole.0);
    for request in &stranger {
        assert!(request.len() <= 64 * 1024, "bounded");
    }
}
