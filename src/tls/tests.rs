use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

use super::*;

/// A CA, and a certificate of it with its key, valid up to that year: all in PEM.
struct Files {
    ca: String,
    certificate: String,
    key: String,
}

fn files(last_year: i32) -> Files {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let ca = params.self_signed(&key).expect("a certificate").pem();
    let issuer = Issuer::new(params, key);
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    params.not_after = date_time_ymd(last_year, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, &issuer).expect("a certificate").pem();
    Files { ca, certificate, key: key.serialize_pem() }
}

fn identity(files: &Files, clients: ClientCertificates) -> Result<Identity, Vec<Wrong>> {
    let Files { ca, certificate, key } = files;
    Identity::new(Pems { certificate, key, client_ca: ca }, clients)
}

#[test]
fn the_end_of_a_certificate_is_read_in_both_of_its_forms() {
    for (year, expires) in [(2030, 1_893_456_000), (2060, 2_840_140_800)] {
        let files = files(year);
        let identity = identity(&files, ClientCertificates::Off).expect("right");
        assert_eq!(identity.expires(), expires);
        // Of a chain, the first end counts.
        let chain = format!("{}{}", files.certificate, self::files(2029).certificate);
        let files = Files { certificate: chain, ..files };
        let identity = self::identity(&files, ClientCertificates::Off).expect("right");
        assert_eq!(identity.expires(), 1_861_920_000);
    }
}

#[test]
fn it_warns_two_weeks_before_and_counts_the_days_after() {
    const DAY: u64 = 86_400;
    let identity = identity(&files(2030), ClientCertificates::Off).expect("right");
    let end = identity.expires();
    assert_eq!(identity.warning(end - 14 * DAY), None);
    assert_eq!(
        identity.warning(end - 3 * DAY).as_deref(),
        Some("the certificate in tls.cert_file expires in 3 days")
    );
    let late = identity.warning(end + 2 * DAY).expect("a warning");
    assert!(late.contains("expired 2 days ago"), "{late}");
    assert!(identity.warning(end).expect("a warning").contains("expired 0 days ago"));
}

#[test]
fn what_is_wrong_is_said_of_the_right_file() {
    let (right, other) = (files(2030), files(2030));
    let off = ClientCertificates::Off;
    for (certificate, key, of_key, told) in [
        ("", &*right.key, false, "holds no certificate in PEM"),
        (&*right.key, &*right.key, false, "holds no certificate in PEM"),
        (&*right.certificate, "", true, "holds no private key in PEM"),
        (&*right.certificate, &*other.key, true, "does not go with tls.cert_file"),
    ] {
        let pems = Pems { certificate, key, client_ca: "" };
        let wrong = Identity::new(pems, off).expect_err("wrong");
        match &wrong[..] {
            [Wrong::Key(why)] if of_key => assert!(why.contains(told), "{why}"),
            [Wrong::Certificate(why)] if !of_key => assert!(why.contains(told), "{why}"),
            other => panic!("{other:?}"),
        }
    }
    let broken = Files { ca: "x".to_owned(), key: String::new(), ..right };
    let wrong = identity(&broken, ClientCertificates::Required).expect_err("wrong");
    assert!(matches!(&wrong[..], [Wrong::Key(_), Wrong::ClientCa(_)]), "{wrong:?}");
    assert!(identity(&other, ClientCertificates::Optional).is_ok());
}

#[test]
fn two_are_the_same_if_the_files_are() {
    let (one, other) = (files(2030), files(2030));
    let of = |files, clients| identity(files, clients).expect("right");
    let (off, required) = (ClientCertificates::Off, ClientCertificates::Required);
    assert_eq!(of(&one, off), of(&one, off));
    assert_ne!(of(&one, off), of(&other, off));
    assert_ne!(of(&one, off), of(&one, required));
    assert!(of(&one, required).knows_clients() && !of(&one, off).knows_clients());
}
