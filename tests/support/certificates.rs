//! Certificates made by a test: an authority of its own, and what it signs.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};

/// Signs certificates that whoever trusts it trusts.
pub struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

fn named(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
    let mut params = CertificateParams::new(hosts).expect("names of hosts");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2100, 1, 1);
    params
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = named(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, mut params: CertificateParams) -> Pair {
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// For a server on this machine, or for a client of this name.
    pub fn issue(&self, name: &str) -> Pair {
        self.sign(named(name, &["localhost", "127.0.0.1"]))
    }

    /// One that stops being valid at this distance from now; with 0 it just has.
    pub fn issue_for(&self, name: &str, lasting: Duration) -> Pair {
        let mut params = named(name, &["localhost", "127.0.0.1"]);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        // Valid up to the end of that second.
        params.not_after = date_time_ymd(1970, 1, 1) + now + lasting - Duration::from_secs(1);
        self.sign(params)
    }

    /// Writes its own certificate; the file.
    pub fn write(&self, dir: &Path) -> PathBuf {
        let file = dir.join("ca.crt");
        std::fs::write(&file, self.certificate.pem()).expect("the test's folder");
        file
    }
}

impl Pair {
    /// Writes both; the files of the certificate and of the key.
    pub fn write(&self, dir: &Path, name: &str) -> (PathBuf, PathBuf) {
        let files = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
        std::fs::write(&files.0, &self.certificate).expect("the test's folder");
        std::fs::write(&files.1, &self.key).expect("the test's folder");
        files
    }
}
