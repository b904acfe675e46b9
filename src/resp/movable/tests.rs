use super::*;
use crate::resp::args::Span;
use crate::resp::table;

fn with<T>(line: &str, look: impl FnOnce(&Command, &Args<'_>) -> T) -> T {
    let mut spans = Vec::new();
    let mut at = 0;
    for word in line.split(' ') {
        let len = u32::try_from(word.len()).expect("short");
        spans.push(Span { start: at, len });
        at += len + 1;
    }
    let args = Args::new(line.as_bytes(), &spans);
    look(table::find(args.get(0)).expect(line), &args)
}

fn keys(line: &str) -> Vec<String> {
    with(line, |command, args| {
        let text = |at: usize| String::from_utf8_lossy(args.get(at)).into_owned();
        keys_of(command, args).map(text).collect()
    })
}

#[test]
fn keys_are_found_wherever_they_stand() {
    for (line, wanted) in [
        ("lmpop 2 a b LEFT", "a b"),
        ("blmpop 0 2 a b LEFT", "a b"),
        ("zunionstore d 2 a b WEIGHTS 1 2", "d a b"),
        ("zinter 1 a WITHSCORES", "a"),
        ("eval return 2 a b c", "a b"),
        ("fcall f 0 a", ""),
        ("sort a BY w STORE d", "a d"),
        ("sort_ro a LIMIT 0 1", "a"),
        ("georadius a 1 2 3 m STOREDIST d", "a d"),
        ("georadiusbymember a m 3 km STORE d", "a d"),
        ("sort a BY store GET x", "a"),
        ("sort a LIMIT store 1 STORE d STORE e", "a e"),
        ("xinfo stream a FULL", "a"),
        ("xgroup create a g $", "a"),
        ("xgroup help", ""),
        ("xread COUNT 1 BLOCK 5 STREAMS a b 0 0", "a b"),
        ("xreadgroup GROUP streams c STREAMS a >", "a"),
        ("bitop AND d a b", "d a b"),
        ("blpop a b 0", "a b"),
        ("hset a f v", "a"),
        // Nonsense names nothing.
        ("lmpop 9 a b LEFT", ""),
        ("lmpop x a b LEFT", ""),
        ("xread COUNT 1 BLOCK", ""),
    ] {
        assert_eq!(keys(line).join(" "), wanted, "{line}");
    }
}

#[test]
fn sort_reads_keys_that_it_does_not_name() {
    for (line, wanted) in [
        ("sort a BY w_* STORE d", Some(3)),
        ("sort a BY nosort", None),
        ("sort a BY nosort GET #", Some(5)),
        ("sort_ro a LIMIT 0 1 GET w_*", Some(6)),
        ("sort a LIMIT by get* 1", None),
        ("sort a STORE get", None),
        ("sort a GET", Some(3)),
    ] {
        assert_eq!(with(line, |_, args| sort_pattern(args)), wanted, "{line}");
    }
}

#[test]
fn a_wait_is_as_long_as_its_argument_says() {
    for (line, wanted) in [
        ("blpop a 0", Blocks::Forever),
        ("blpop a 1.5", Blocks::For(1500)),
        ("blpop a x", Blocks::No),
        ("blpop a -1", Blocks::No),
        ("bzmpop 2 1 a MIN", Blocks::For(2000)),
        ("xread BLOCK 20 STREAMS a 0", Blocks::For(20)),
        ("xread BLOCK 0 STREAMS a 0", Blocks::Forever),
        ("xread COUNT 2 STREAMS block 0", Blocks::No),
        ("lpop a", Blocks::No),
    ] {
        assert_eq!(with(line, blocks), wanted, "{line}");
    }
}
