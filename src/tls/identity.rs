//! Who the server is, and whom it trusts: from PEM files to what rustls needs. Pure.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};

use super::validity::not_after;

/// Whether clients have to show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not asked.
    Off,
    /// They may; one that is wrong is refused.
    Optional,
    /// They must.
    Required,
}

/// The contents of the files.
#[derive(Clone, Copy)]
pub struct Pems<'a> {
    /// The certificate, and behind it those that lead to the CA.
    pub certificate: &'a str,
    /// Its private key.
    pub key: &'a str,
    /// The CA of clients' certificates; empty for none.
    pub client_ca: &'a str,
}

/// Which file is wrong, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// The certificate.
    Certificate(String),
    /// The key.
    Key(String),
    /// The CA of clients.
    ClientCa(String),
}

/// A certificate with its key, and whom of the clients it lets in.
#[derive(Clone)]
pub struct Identity {
    config: Arc<ServerConfig>,
    /// Tells one from another.
    digest: [u8; 32],
    expires: u64,
    clients: ClientCertificates,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest && self.clients == other.clients
    }
}

impl Identity {
    /// Checks the files and puts them together.
    ///
    /// # Errors
    /// Every file that is wrong; or that certificate and key do not belong together.
    pub fn new(pems: Pems<'_>, clients: ClientCertificates) -> Result<Self, Vec<Wrong>> {
        let mut wrong = Vec::new();
        let mut keep = |why: Wrong| {
            wrong.push(why);
        };
        let chain =
            certificates(pems.certificate).map_err(Wrong::Certificate).map_err(&mut keep).ok();
        let key = PrivateKeyDer::from_pem_slice(pems.key.as_bytes())
            .map_err(|e| Wrong::Key(format!("holds no private key in PEM: {e}")))
            .map_err(&mut keep)
            .ok();
        let provider = Arc::new(ring::default_provider());
        let verifier = verifier(pems.client_ca, clients, &provider)
            .map_err(Wrong::ClientCa)
            .map_err(&mut keep)
            .ok();
        let (Some(chain), Some(key), Some(verifier)) = (chain, key, verifier) else {
            return Err(wrong);
        };
        let expires = chain.iter().filter_map(|certificate| not_after(certificate)).min();
        let Some(expires) = expires else {
            return Err(vec![Wrong::Certificate("does not say until when it is valid".to_owned())]);
        };
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| vec![Wrong::Certificate(e.to_string())])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|e| vec![Wrong::Key(format!("does not go with tls.cert_file: {e}"))])?;
        let mut digest = Sha256::new();
        for part in [pems.certificate, pems.key, pems.client_ca] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        Ok(Self { config: Arc::new(config), digest: digest.finalize().into(), expires, clients })
    }

    /// What rustls needs for a handshake.
    #[must_use]
    pub const fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// When the first certificate of the chain ends, in Unix seconds.
    #[must_use]
    pub const fn expires(&self) -> u64 {
        self.expires
    }

    /// Whether every client has shown a certificate.
    #[must_use]
    pub fn knows_clients(&self) -> bool {
        self.clients == ClientCertificates::Required
    }

    /// Why this certificate should be looked at, at this time in Unix seconds.
    #[must_use]
    pub fn warning(&self, now: u64) -> Option<String> {
        const SOON_DAYS: u64 = 14;
        const DAY: u64 = 86_400;
        match self.expires.checked_sub(now) {
            None | Some(0) => Some(format!(
                "the certificate in tls.cert_file expired {} days ago: clients that check it do \
                 not connect; replace it, and it is in use at once",
                (now - self.expires) / DAY
            )),
            Some(left) if left < SOON_DAYS * DAY => {
                Some(format!("the certificate in tls.cert_file expires in {} days", left / DAY))
            }
            Some(_) => None,
        }
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err("holds no certificate in PEM".to_owned()),
        Err(e) => Err(format!("holds no certificate in PEM: {e}")),
    }
}

fn verifier(
    ca: &str,
    clients: ClientCertificates,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    if clients == ClientCertificates::Off {
        return Ok(Arc::new(NoClientAuth));
    }
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate).map_err(|e| format!("is no CA: {e}"))?;
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = match clients {
        ClientCertificates::Optional => builder.allow_unauthenticated(),
        _ => builder,
    };
    builder.build().map_err(|e| format!("is no CA: {e}"))
}
