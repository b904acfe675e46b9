use proptest::prelude::*;

use super::*;
use crate::resp::reply::Proto;

/// Arguments written back as one line, fully bracketed.
fn show(arguments: &[Argument]) -> String {
    let shown: Vec<String> = arguments
        .iter()
        .map(|a| {
            let body = match &a.kind {
                Kind::PureToken => a.token.clone().unwrap_or_default(),
                Kind::Value(kind) => {
                    let token = a.token.as_ref().map_or_else(String::new, |t| format!("{t} "));
                    format!("{token}{}:{kind}", a.name)
                }
                Kind::OneOf(parts) => {
                    let parts: Vec<_> =
                        parts.iter().map(|p| show(std::slice::from_ref(p))).collect();
                    let token = a.token.as_ref().map_or_else(String::new, |t| format!("{t} "));
                    format!("{token}<{}>", parts.join("|"))
                }
                Kind::Block(parts) => format!("({})", show(parts)),
            };
            let body = if a.optional { format!("[{body}]") } else { body };
            if a.multiple { format!("{body}…") } else { body }
        })
        .collect();
    shown.join(" ")
}

#[test]
fn syntax_lines_are_read_as_redis_documents_them() {
    for (line, expected) in [
        ("", ""),
        ("key value", "key:key value:string"),
        ("key [key …]", "key:key…"),
        ("key value [key value …]", "(key:key value:string)…"),
        ("[message]", "[message:string]"),
        ("key [NX|XX] [GET]", "key:key [<NX|XX>] [GET]"),
        (
            "key [EX seconds | PX milliseconds | KEEPTTL]",
            "key:key [<EX seconds:integer|PX milliseconds:integer|KEEPTTL>]",
        ),
        (
            "key value [NX|XX|IFEQ comparison-value] [EX seconds|PX milliseconds|KEEPTTL]",
            "key:key value:string [<NX|XX|IFEQ comparison-value:string>] \
             [<EX seconds:integer|PX milliseconds:integer|KEEPTTL>]",
        ),
        (
            "[SKIPME YES|NO] [EX seconds|PERSIST]",
            "[SKIPME <YES|NO>] [<EX seconds:integer|PERSIST>]",
        ),
        ("NO ONE | host port", "<(NO ONE)|(host:string port:string)>"),
        ("ON|OFF", "<ON|OFF>"),
        ("[section [section …]]", "[section:string]…"),
        (
            "cursor [MATCH pattern] [COUNT count]",
            "cursor:integer [MATCH pattern:pattern] [COUNT count:integer]",
        ),
    ] {
        assert_eq!(show(&parse(line)), expected, "{line}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic_and_written_whole(line in "[a-zA-Z\\[\\]|… -]{0,60}") {
        let arguments = parse(&line);
        let mut out = Vec::new();
        write(&arguments, &mut Reply::new(&mut out, Proto::V3));
        prop_assert!(out.starts_with(b"*"));
    }
}
