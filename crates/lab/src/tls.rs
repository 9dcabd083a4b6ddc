//! TLS for the lab: a certificate authority made for this run, and one certificate for this machine.
//!
//! Nothing is stored; whoever has to trust the servers takes the authority's certificate from
//! [`crate::Lab::ca_pem`].

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// The authority and what it signed.
pub(crate) struct Tls {
    pub(crate) ca_pem: String,
    with_h2: TlsAcceptor,
    without_h2: TlsAcceptor,
}

impl Tls {
    pub(crate) fn new() -> Result<Self, TlsError> {
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        ca.distinguished_name = DistinguishedName::new();
        ca.distinguished_name.push(DnType::CommonName, "Mainstay lab, this run only");
        let ca_pem = ca.self_signed(&ca_key)?.pem();

        let key = KeyPair::generate()?;
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate =
            CertificateParams::new(names)?.signed_by(&key, &Issuer::new(ca, ca_key))?;
        let chain = vec![certificate.der().clone()];
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));

        // The provider is named, not taken from the process: the program we run in may have chosen none yet.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, private)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let without_h2 = TlsAcceptor::from(Arc::new(config.clone()));
        config.alpn_protocols.insert(0, b"h2".to_vec());
        Ok(Self { ca_pem, with_h2: TlsAcceptor::from(Arc::new(config)), without_h2 })
    }

    pub(crate) fn acceptor(&self, h2: bool) -> TlsAcceptor {
        if h2 { self.with_h2.clone() } else { self.without_h2.clone() }
    }
}

/// Why no certificate could be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// Making or signing failed.
    Certificate(rcgen::Error),
    /// The TLS library refused the result.
    Config(rustls::Error),
}

impl std::fmt::Display for TlsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Certificate(_) => "can't make a certificate for the lab",
            Self::Config(_) => "can't use the lab's certificate",
        })
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Certificate(error) => Some(error),
            Self::Config(error) => Some(error),
        }
    }
}

impl From<rcgen::Error> for TlsError {
    fn from(error: rcgen::Error) -> Self {
        Self::Certificate(error)
    }
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        Self::Config(error)
    }
}
