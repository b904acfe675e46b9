//! `[[users]]`: who may log in, and what each may do.

use super::Kind;
use super::table::{Field, Table};

/// The users beside `default`, and what `default` may do.
pub(super) static TABLE: Table = Table {
    name: "users",
    doc: "Who may log in with AUTH, and what each may do. The user `default` is what a client is that has not said who it is: its password is server.requirepass, and without a row of its own it may do everything.",
    max: 1000,
    fields: &[
        Field { name: "name", kind: Kind::Word, default: None, doc: "The user's name." },
        Field {
            name: "enabled",
            kind: Kind::Bool,
            default: Some("true"),
            doc: "Whether the user may log in. A change to false closes the user's connections.",
        },
        Field {
            name: "passwords",
            kind: Kind::Secrets,
            default: Some("[]"),
            doc: "The SHA-256 of each of the user's passwords, in hexadecimal digits, as ACL LIST of Redis shows it.",
        },
        Field {
            name: "password_file",
            kind: Kind::File { max: 1 << 16 },
            default: Some(r#""""#),
            doc: "A file with one more password a line; a line of # and 64 hexadecimal digits is the SHA-256 of one. It is read again when it changes.",
        },
        Field {
            name: "nopass",
            kind: Kind::Bool,
            default: Some("false"),
            doc: "Whether any password will do.",
        },
        Field {
            name: "rules",
            kind: Kind::Text,
            default: Some(r#""""#),
            doc: "What the user may do, as ACL SETUSER of Redis takes it, beginning with nothing: commands (+get -config +@read -@dangerous), keys (~cache:* %R~stock:* %W~log:*), channels (&news:*).",
        },
    ],
    example: r##"[[users]]
name = "reader"
passwords = ["2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"]    # "secret"
rules = "+@read +@connection ~cache:*"
"##,
};
