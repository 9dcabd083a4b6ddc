//! TLS towards applications: certificates, and the agreement on HTTP/1.1 or HTTP/2.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use mainstay_config::settings::CertificateFiles;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate or key that can't be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum CertificateError {
    /// The file can't be read, or holds nothing of the kind.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// They can be read but not used together.
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => {
                write!(f, "can't read a certificate or key from {}", path.display())
            }
            Self::Unusable { path, .. } => {
                write!(f, "can't use the certificate in {} with its key", path.display())
            }
        }
    }
}

impl std::error::Error for CertificateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            Self::Unusable { source, .. } => Some(source),
        }
    }
}

/// Reads the files.
pub(crate) fn server(files: &CertificateFiles) -> Result<Arc<ServerConfig>, CertificateError> {
    let unread = |path: &PathBuf| {
        let path = path.clone();
        move |source| CertificateError::File { path, source }
    };
    let unusable = |source| CertificateError::Unusable { path: files.certificate.clone(), source };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unread(&files.certificate))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(unread(&files.key))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
