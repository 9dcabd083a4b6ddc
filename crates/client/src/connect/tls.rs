//! The TLS part: how an endpoint is verified, and what a failed handshake means.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use mainstay_config::settings::{Http2, TlsSettings};
use mainstay_core::{Break, BreakKind, Certainty};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, ProtocolVersion};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::danger::AcceptAnyCertificate;
use super::transport::Socket;
use super::trust::{self, TargetError};
use crate::broken::Broken;

/// Makes TLS connections to one endpoint.
pub(super) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
    /// HTTP/2 and nothing else will do.
    only_http2: bool,
    /// When the peer's certificate ends, in seconds since 1970; 0 until it is known.
    ends_at: AtomicU64,
}

impl Tls {
    pub(super) fn new(
        host: &str,
        settings: &TlsSettings,
        http2: Http2,
    ) -> Result<Self, TargetError> {
        let name = settings.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| TargetError::ServerName { name: name.to_owned() })?;
        let mut config = config(settings)?;
        let (h2, http1) = (b"h2".to_vec(), b"http/1.1".to_vec());
        config.alpn_protocols = match http2 {
            Http2::Auto => vec![h2, http1],
            Http2::Always => vec![h2],
            Http2::Never => vec![http1],
        };
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Self { connector, name, only_http2: http2 == Http2::Always, ends_at: AtomicU64::new(0) })
    }

    /// When the certificate that the peer last showed ends, in seconds since 1970.
    pub(super) fn certificate_ends_at(&self) -> Option<u64> {
        Some(self.ends_at.load(Ordering::Relaxed)).filter(|at| *at > 0)
    }

    fn note_certificate(&self, stream: &TlsStream<Socket>) {
        let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let parsed = leaf.and_then(|leaf| X509Certificate::from_der(leaf).ok());
        let ends_at = parsed.map(|(_, leaf)| leaf.validity().not_after.timestamp());
        if let Some(ends_at) = ends_at.and_then(|at| u64::try_from(at).ok()) {
            self.ends_at.store(ends_at, Ordering::Relaxed);
        }
    }

    /// Secures `socket`.
    pub(super) async fn handshake(&self, socket: Socket) -> Result<TlsStream<Socket>, Broken> {
        let stream = self
            .connector
            .connect(self.name.clone(), socket)
            .await
            .map_err(|error| broken(&error))?;
        self.note_certificate(&stream);
        if self.only_http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            let details = "the peer didn't agree on HTTP/2".to_owned();
            let what = Break::new(BreakKind::TlsProtocol, Certainty::NotSent);
            return Err(Broken::from(what).details(details));
        }
        Ok(stream)
    }
}

/// What was agreed on, for people: version and protocol.
pub(super) fn describe(stream: &TlsStream<Socket>) -> String {
    let session = stream.get_ref().1;
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    };
    match session.alpn_protocol() {
        Some(protocol) => format!("{version}, {}", String::from_utf8_lossy(protocol)),
        None => format!("{version}, no protocol agreed on"),
    }
}

fn config(settings: &TlsSettings) -> Result<ClientConfig, TargetError> {
    // The provider is named, not taken from the process: a library's user may have chosen another, or none yet.
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    let provider = Arc::clone(&PROVIDER);
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TargetError::Tls)?;
    let builder = if settings.danger_accept_any_certificate {
        let verifier = Arc::new(AcceptAnyCertificate(provider));
        builder.dangerous().with_custom_certificate_verifier(verifier)
    } else {
        let roots =
            settings.ca.as_deref().map_or_else(|| Ok(trust::system()), trust::authorities)?;
        builder.with_root_certificates(roots)
    };
    // Early data stays off: it can be replayed by anybody on the path, whatever the request is.
    let Some(files) = &settings.client else { return Ok(builder.with_no_client_auth()) };
    let (chain, key) = trust::identity(files)?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|source| TargetError::Certificate { path: files.certificate.clone(), source })
}

fn broken(error: &io::Error) -> Broken {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    // Without an error of TLS itself the peer hung up: it may not speak TLS at all.
    let kind = tls.map_or(BreakKind::TlsProtocol, kind);
    Broken::new(kind, Certainty::NotSent).details(error.to_string())
}

fn kind(error: &rustls::Error) -> BreakKind {
    match error {
        rustls::Error::InvalidCertificate(error) => certificate(error),
        rustls::Error::NoCertificatesPresented => BreakKind::CertificateInvalid,
        rustls::Error::AlertReceived(_) => BreakKind::TlsAlert,
        _ => BreakKind::TlsProtocol,
    }
}

fn certificate(error: &CertificateError) -> BreakKind {
    use CertificateError as E;
    match error {
        E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. } => {
            BreakKind::CertificateExpired
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => BreakKind::CertificateWrongName,
        E::UnknownIssuer => BreakKind::CertificateUnknownIssuer,
        _ => BreakKind::CertificateInvalid,
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}
