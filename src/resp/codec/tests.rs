//! The decoder against whole input, split input, and garbage.

use super::*;
use proptest::prelude::*;

const OPEN: RequestLimits =
    RequestLimits { max_args: MAX_ARGS, max_bulk: 512 << 20, trusted: true };

/// Feeds `input` in pieces that end at `cuts` and collects the requests.
fn feed(
    input: &[u8],
    cuts: &[usize],
    limits: &RequestLimits,
) -> Result<Vec<Vec<Vec<u8>>>, ProtocolError> {
    let mut decoder = Decoder::default();
    let mut buf = Vec::new();
    let mut requests = Vec::new();
    let mut from = 0;
    let mut cuts: Vec<usize> = cuts.iter().map(|c| c % (input.len() + 1)).collect();
    cuts.sort_unstable();
    cuts.push(input.len());
    for cut in cuts {
        buf.extend_from_slice(&input[from..cut]);
        from = cut;
        let mut spans = Vec::new();
        let mut at = 0;
        loop {
            let first = spans.len();
            match decoder.decode(&mut buf, at, &mut spans, limits)? {
                ControlFlow::Continue(next) => at = next,
                ControlFlow::Break(()) => break,
            }
            let words: Vec<Vec<u8>> = spans[first..]
                .iter()
                .map(|s| buf[s.start as usize..(s.start + s.len) as usize].to_vec())
                .collect();
            if !words.is_empty() {
                requests.push(words);
            }
        }
        buf.drain(..at);
    }
    Ok(requests)
}

fn encode(requests: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let mut out = Vec::new();
    for request in requests {
        out.extend_from_slice(format!("*{}\r\n", request.len()).as_bytes());
        for word in request {
            out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            out.extend_from_slice(word);
            out.extend_from_slice(b"\r\n");
        }
    }
    out
}

fn inline(text: &str) -> Result<Vec<Vec<String>>, ProtocolError> {
    let requests = feed(text.as_bytes(), &[], &OPEN)?;
    Ok(requests
        .into_iter()
        .map(|r| r.into_iter().map(|w| String::from_utf8_lossy(&w).into_owned()).collect())
        .collect())
}

proptest! {
    #[test]
    fn requests_survive_any_split(
        requests in proptest::collection::vec(
            proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..6), 0..6),
        cuts in proptest::collection::vec(any::<usize>(), 0..12),
    ) {
        prop_assert_eq!(feed(&encode(&requests), &cuts, &OPEN), Ok(requests));
    }

    #[test]
    fn garbage_never_panics_and_splits_do_not_matter(
        bytes in proptest::collection::vec(
            prop_oneof![Just(b'*'), Just(b'$'), Just(b'\r'), Just(b'\n'), Just(b'1'), Just(b'"'),
                        Just(b'\''), Just(b'\\'), Just(b'x'), any::<u8>()], 0..120),
        cuts in proptest::collection::vec(any::<usize>(), 0..8),
    ) {
        let whole = feed(&bytes, &[], &OPEN);
        let split = feed(&bytes, &cuts, &OPEN);
        prop_assert_eq!(whole, split);
    }

    #[test]
    fn integers_are_read_as_the_standard_library_reads_canonical_ones(value: i64) {
        prop_assert_eq!(integer(value.to_string().as_bytes()), Some(value));
    }
}

#[test]
fn integers_that_redis_refuses() {
    for text in ["", "-", "+1", "01", "-0", " 1", "1 ", "9223372036854775808", "1e3"] {
        assert_eq!(integer(text.as_bytes()), None, "{text:?}");
    }
}

#[test]
fn inline_words_and_quotes() {
    assert_eq!(inline("PING\r\n"), Ok(vec![vec!["PING".into()]]));
    assert_eq!(inline("  set  k   v \n"), Ok(vec![vec!["set".into(), "k".into(), "v".into()]]));
    assert_eq!(
        inline("set k \"a b\\x41\\n\" 'c\\'d'\r\n"),
        Ok(vec![vec!["set".into(), "k".into(), "a bA\n".into(), "c'd".into()]])
    );
    assert_eq!(inline("\r\n\r\n"), Ok(vec![]));
    assert_eq!(inline("set \"k\r\n"), Err(ProtocolError::Quotes));
    assert_eq!(inline("set \"k\"v\r\n"), Err(ProtocolError::Quotes));
}

#[test]
fn http_is_recognised() {
    assert_eq!(inline("POST / HTTP/1.1\r\n"), Err(ProtocolError::CrossProtocol));
    assert_eq!(inline("Host: localhost\r\n"), Err(ProtocolError::CrossProtocol));
}

#[test]
fn errors_have_redis_texts() {
    let cases: [(&[u8], &str); 5] = [
        (b"*a\r\n", "Protocol error: invalid multibulk length"),
        (b"*1048577\r\n", "Protocol error: invalid multibulk length"),
        (b"*1\r\n:1\r\n", "Protocol error: expected '$', got ':'"),
        (b"*1\r\n$-1\r\n", "Protocol error: invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "Protocol error: invalid bulk length"),
    ];
    for (input, text) in cases {
        let error = feed(input, &[], &OPEN).map_err(|e| e.to_string());
        assert_eq!(error, Err(text.to_owned()));
    }
}

#[test]
fn strangers_get_small_requests_only() {
    let stranger = RequestLimits { trusted: false, ..OPEN };
    assert_eq!(feed(b"*11\r\n", &[], &stranger), Err(ProtocolError::UntrustedCount));
    assert_eq!(feed(b"*1\r\n$16385\r\n", &[], &stranger), Err(ProtocolError::UntrustedBulk));
    assert_eq!(feed(b"*1\r\n$4\r\nPING\r\n", &[], &stranger).map(|r| r.len()), Ok(1));
}

#[test]
fn lines_without_an_end_are_refused() {
    let long = |head: &[u8]| {
        let mut input = head.to_vec();
        input.resize(MAX_LINE + 10, b'1');
        feed(&input, &[], &OPEN)
    };
    assert_eq!(long(b"*"), Err(ProtocolError::LongCount));
    assert_eq!(long(b"*1\r\n$"), Err(ProtocolError::LongBulkHeader));
    assert_eq!(long(b"PING "), Err(ProtocolError::LongInline));
}
