//! TLS for the lab: a certificate authority made for this run, a good certificate for this machine, and bad ones.
//!
//! Nothing is stored; whoever has to trust the servers takes the authority's certificate from
//! [`crate::Lab::ca_pem`].

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use crate::fault::TlsTrouble;

/// The authority and what it signed.
pub(crate) struct Tls {
    pub(crate) ca_pem: String,
    good: Pair,
    expired: Pair,
    expiring: Pair,
    wrong_name: Pair,
    self_signed: Pair,
}

/// One certificate's ways to accept.
#[derive(Clone)]
pub(crate) struct Pair {
    with_h2: TlsAcceptor,
    without_h2: TlsAcceptor,
}

/// What a server does with a TLS connection.
pub(crate) enum Welcome {
    /// A handshake with some certificate.
    Handshake(TlsAcceptor),
    /// These bytes once the ClientHello has come, then FIN.
    Bytes(&'static [u8]),
    /// Nothing.
    Silence,
}

impl Tls {
    /// For this machine, and for the names of the lab's DNS server: clients don't take `*.lab` for them, since a wildcard
    /// right below a top level is none (CA/Browser Forum, Baseline Requirements, 3.2.2.6).
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Result<Self, TlsError> {
        let names: Vec<&str> = NAMES.iter().copied().chain(names).collect();
        let names = names.as_slice();
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        ca.distinguished_name = named("Mainstay lab, this run only");
        let ca_pem = ca.self_signed(&ca_key)?.pem();
        let authority = Issuer::new(ca, ca_key);
        let now = SystemTime::now();
        let with = |names: &[&str], from: SystemTime, to: SystemTime| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let mut params = CertificateParams::new(names)?;
            params.distinguished_name = named("Mainstay lab server");
            params.not_before = from.into();
            params.not_after = to.into();
            Ok::<_, TlsError>(params)
        };
        let signed = |params: CertificateParams| {
            let key = KeyPair::generate()?;
            let certificate = params.signed_by(&key, &authority)?;
            Pair::new(certificate.der().clone(), &key)
        };
        let own_key = KeyPair::generate()?;
        let own = with(names, now - 30 * DAY, now + 365 * DAY)?.self_signed(&own_key)?;
        Ok(Self {
            ca_pem,
            good: signed(with(names, now - 30 * DAY, now + 365 * DAY)?)?,
            expired: signed(with(names, now - 30 * DAY, now - DAY)?)?,
            expiring: signed(with(names, now - 30 * DAY, now + 3 * DAY)?)?,
            wrong_name: signed(with(&[WRONG_NAME], now - 30 * DAY, now + 365 * DAY)?)?,
            self_signed: Pair::new(own.der().clone(), &own_key)?,
        })
    }

    /// What a new connection meets.
    pub(crate) fn welcome(&self, trouble: Option<TlsTrouble>, h2: bool) -> Welcome {
        let pair = match trouble {
            None => &self.good,
            Some(TlsTrouble::Expired) => &self.expired,
            Some(TlsTrouble::Expiring) => &self.expiring,
            Some(TlsTrouble::WrongName) => &self.wrong_name,
            Some(TlsTrouble::SelfSigned) => &self.self_signed,
            Some(TlsTrouble::OldProtocol) => return Welcome::Bytes(OLD_SERVER_HELLO),
            Some(TlsTrouble::Alert) => return Welcome::Bytes(HANDSHAKE_FAILURE),
            Some(TlsTrouble::Stalled) => return Welcome::Silence,
        };
        Welcome::Handshake(if h2 { pair.with_h2.clone() } else { pair.without_h2.clone() })
    }
}

impl Pair {
    fn new(certificate: CertificateDer<'static>, key: &KeyPair) -> Result<Self, TlsError> {
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        // The provider is named, not taken from the process: the program we run in may have chosen none yet.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], private)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let without_h2 = TlsAcceptor::from(Arc::new(config.clone()));
        config.alpn_protocols.insert(0, b"h2".to_vec());
        Ok(Self { with_h2: TlsAcceptor::from(Arc::new(config)), without_h2 })
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// Whom the certificates are for.
const NAMES: &[&str] = &["localhost", "127.0.0.1", "127.0.0.2", "127.0.0.3", "::1", "lab", "*.lab"];

/// Whom the wrong one is for.
const WRONG_NAME: &str = "wrong.lab.example";

/// A ServerHello of TLS 1.0 (RFC 2246, 7.4.1.3): version 3.1, 32 bytes of chance that nobody looks at, no session,
/// TLS_RSA_WITH_AES_128_CBC_SHA, no compression. It is what a server that knows nothing newer sends first.
const OLD_SERVER_HELLO: &[u8] = b"\x16\x03\x01\x00\x2a\x02\x00\x00\x26\x03\x01\
    mainstay lab speaks TLS 1.0 only\x00\x00\x2f\x00";

/// A fatal alert, handshake_failure (RFC 8446, 6.2).
const HANDSHAKE_FAILURE: &[u8] = b"\x15\x03\x03\x00\x02\x02\x28";

const DAY: Duration = Duration::from_secs(24 * 3600);

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
