//! `[tls]`: from files to an identity.

use super::accepted::{duration, flag, int, text, to_usize};
use super::{Values, Violation};
use crate::config::files::NamedFiles;
use crate::config::settings::Tls;
use crate::config::value::Value;
use crate::tls::handshake::Bounds;
use crate::tls::{ClientCertificates, Identity, Pems, Wrong};

const CERT: &str = "tls.cert_file";
const KEY: &str = "tls.key_file";
const CA: &str = "tls.client_ca_file";

/// The settings of TLS; whoever listens with it needs an identity.
pub(super) fn tls(values: &Values, files: &NamedFiles, out: &mut Vec<Violation>) -> Tls {
    Tls {
        identity: identity(values, files, out),
        handshakes: Bounds {
            within: duration(values, "tls.handshake_timeout"),
            max: to_usize(int(values, "tls.max_handshakes")),
        },
    }
}

fn identity(values: &Values, files: &NamedFiles, out: &mut Vec<Violation>) -> Option<Identity> {
    let mut broken = |keys: &[&'static str], message: &str| {
        out.push(Violation { keys: keys.to_vec(), message: message.to_owned() });
    };
    let listens =
        matches!(values.get("server.tls_bind"), Some(Value::List(all)) if !all.is_empty());
    let wanted = match (listens, flag(values, "admin.tls")) {
        (true, _) => Some("server.tls_bind"),
        (_, true) => Some("admin.tls"),
        _ => None,
    };
    let (cert, key, ca) = (text(values, CERT), text(values, KEY), text(values, CA));
    match (cert.is_empty(), key.is_empty(), wanted) {
        (true, true, None) => return None,
        (true, true, Some(wanted)) => {
            broken(&[wanted, CERT], "needs a certificate: set tls.cert_file and tls.key_file");
            return None;
        }
        (true, false, _) => {
            broken(&[CERT, KEY], "is not set, and a key without a certificate is of no use");
            return None;
        }
        (false, true, _) => {
            broken(&[KEY, CERT], "is not set: the certificate needs its private key");
            return None;
        }
        (false, false, _) => {}
    }
    let clients = match text(values, "tls.client_certificates") {
        "required" => ClientCertificates::Required,
        "optional" => ClientCertificates::Optional,
        _ => ClientCertificates::Off,
    };
    if clients != ClientCertificates::Off && ca.is_empty() {
        broken(&[CA, "tls.client_certificates"], "is not set: clients' certificates need a CA");
        return None;
    }
    // A file that can't be read has been complained of.
    let pems = Pems {
        certificate: files.get(CERT, cert)?,
        key: files.get(KEY, key)?,
        client_ca: if ca.is_empty() { "" } else { files.get(CA, ca)? },
    };
    let wrong = match Identity::new(pems, clients) {
        Ok(identity) => return Some(identity),
        Err(wrong) => wrong,
    };
    for wrong in wrong {
        match wrong {
            Wrong::Certificate(why) => broken(&[CERT], &format!("{cert} {why}")),
            Wrong::Key(why) => broken(&[KEY], &format!("{key} {why}")),
            Wrong::ClientCa(why) => broken(&[CA], &format!("{ca} {why}")),
        }
    }
    None
}
