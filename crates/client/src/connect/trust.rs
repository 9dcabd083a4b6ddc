//! Certificates and keys: whom to trust, and what to present.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use mainstay_config::settings::CertificateFiles;
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Why a target can't be made: its settings name files that can't be used, or a name that is none.
#[derive(Debug)]
#[non_exhaustive]
pub enum TargetError {
    /// A file can't be read.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file isn't PEM.
    NotPem {
        /// Which.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// A file holds no certificate.
    NoCertificate {
        /// Which.
        path: PathBuf,
    },
    /// A certificate can't be used: malformed, or not its key's.
    Certificate {
        /// The file that it is in.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The name to ask for is neither a host name nor an address.
    ServerName {
        /// The name.
        name: String,
    },
    /// The TLS library can't be set up.
    Tls(rustls::Error),
}

/// The system's authorities; those of Mozilla's list where it has none, as in a container made from scratch.
pub(super) fn system() -> Arc<RootCertStore> {
    static SYSTEM: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
        let mut roots = RootCertStore::empty();
        // A store with a few files that can't be read is still the store that its owner chose.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Arc::new(roots)
    });
    Arc::clone(&SYSTEM)
}

/// The authorities in a file.
pub(super) fn authorities(path: &Path) -> Result<Arc<RootCertStore>, TargetError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|source| TargetError::Certificate { path: path.to_owned(), source })?;
    }
    Ok(Arc::new(roots))
}

/// A chain and its key.
pub(super) fn identity(
    files: &CertificateFiles,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TargetError> {
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
        .map_err(|source| TargetError::NotPem { path: files.key.clone(), source })?;
    Ok((chain, key))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TargetError> {
    let text = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match all {
        Ok(all) if all.is_empty() => Err(TargetError::NoCertificate { path: path.to_owned() }),
        Ok(all) => Ok(all),
        Err(source) => Err(TargetError::NotPem { path: path.to_owned(), source }),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TargetError> {
    std::fs::read(path).map_err(|source| TargetError::Unreadable { path: path.to_owned(), source })
}

impl std::fmt::Display for TargetError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable { path, .. } => write!(f, "{} can't be read", path.display()),
            Self::NotPem { path, .. } => {
                write!(f, "{} isn't the PEM file that is needed", path.display())
            }
            Self::NoCertificate { path } => {
                write!(f, "there is no certificate in {}", path.display())
            }
            Self::Certificate { path, .. } => {
                write!(f, "the certificate in {} can't be used", path.display())
            }
            Self::ServerName { name } => {
                write!(f, "{name:?} is neither a host name nor an address")
            }
            Self::Tls(_) => f.write_str("TLS can't be set up"),
        }
    }
}

impl std::error::Error for TargetError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { source, .. } => Some(source),
            Self::NotPem { source, .. } => Some(source),
            Self::Certificate { source, .. } | Self::Tls(source) => Some(source),
            Self::NoCertificate { .. } | Self::ServerName { .. } => None,
        }
    }
}
