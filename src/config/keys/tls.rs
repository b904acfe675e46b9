//! `[tls]`: certificates of the listeners, and of their clients.

use std::time::Duration;

use super::{Apply, Key, Kind, Mapping, RedisName};

/// A chain of certificates is far smaller.
const PEM: Kind = Kind::File { max: 1 << 20 };

/// The keys of this section.
pub(super) static KEYS: &[Key] = &[
    Key {
        path: "tls.cert_file",
        kind: PEM,
        default: r#""""#,
        apply: Apply::Live,
        protected: true,
        redis: &[RedisName { name: "tls-cert-file", mapping: Mapping::Same }],
        doc: "The certificate in PEM, and behind it those that lead to its CA. It is read again when it changes.",
    },
    Key {
        path: "tls.key_file",
        kind: PEM,
        default: r#""""#,
        apply: Apply::Live,
        protected: true,
        redis: &[RedisName { name: "tls-key-file", mapping: Mapping::Same }],
        doc: "The certificate's private key in PEM, without a password. It is read again when it changes.",
    },
    Key {
        path: "tls.client_certificates",
        kind: Kind::Enum(&["off", "optional", "required"]),
        default: r#""off""#,
        apply: Apply::Live,
        protected: true,
        redis: &[RedisName {
            name: "tls-auth-clients",
            mapping: Mapping::Words(&[
                ("no", "off"),
                ("optional", "optional"),
                ("yes", "required"),
            ]),
        }],
        doc: "Whether clients must show a certificate of client_ca_file: off does not ask, optional refuses a wrong one, required refuses none as well.",
    },
    Key {
        path: "tls.client_ca_file",
        kind: PEM,
        default: r#""""#,
        apply: Apply::Live,
        protected: true,
        redis: &[RedisName { name: "tls-ca-cert-file", mapping: Mapping::Same }],
        doc: "The CA, or several, of clients' certificates, in PEM. It is read again when it changes.",
    },
    Key {
        path: "tls.handshake_timeout",
        kind: Kind::Duration {
            min: Duration::from_millis(100),
            max: Duration::from_secs(60),
            zero: false,
        },
        default: r#""10s""#,
        apply: Apply::Live,
        protected: false,
        redis: &[],
        doc: "A client that is not done with its handshake by then is closed.",
    },
    Key {
        path: "tls.max_handshakes",
        kind: Kind::Int { min: 1, max: 100_000 },
        default: "256",
        apply: Apply::Live,
        protected: false,
        redis: &[],
        doc: "How many handshakes may be under way at once; one more is closed. A handshake costs about a millisecond of one core.",
    },
];
