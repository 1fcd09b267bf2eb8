//! Mutual TLS: who the server is, and who calls.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig, ServerConnection};

use super::authorize::Caller;

/// PEM files.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// Whose client certificates are trusted.
    pub ca: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: pem::Error },
    #[error("{} holds no usable certificate authority", path.display())]
    Authority {
        path: PathBuf,
        source: rustls::Error,
    },
    #[error("cannot verify clients with {}", path.display())]
    Verifier {
        path: PathBuf,
        source: VerifierBuilderError,
    },
    #[error("cannot serve with the certificate {}", path.display())]
    Identity {
        path: PathBuf,
        source: rustls::Error,
    },
}

/// A configuration that serves nothing to a client without a certificate of the lab's authority.
pub fn server_config(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&files.ca)? {
        roots
            .add(certificate)
            .map_err(|source| TlsError::Authority {
                path: files.ca.clone(),
                source,
            })?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
        .build()
        .map_err(|source| TlsError::Verifier {
            path: files.ca.clone(),
            source,
        })?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(read_error(&files.key))?;
    let chain = certificates(&files.certificate)?;
    let identity_error = |source| TlsError::Identity {
        path: files.certificate.clone(),
        source,
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(identity_error)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(identity_error)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(read_error(path))
}

fn read_error(path: &Path) -> impl FnOnce(pem::Error) -> TlsError {
    let path = path.to_owned();
    move |source| TlsError::Read { path, source }
}

/// The caller behind a finished handshake, by its certificate: the common name is the user, the
/// organizations are the groups. `None` if it names no user.
pub fn caller(connection: &ServerConnection) -> Option<Caller> {
    let certificate = connection.peer_certificates()?.first()?;
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let subject = certificate.subject();
    let user = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups = subject
        .iter_organization()
        .filter_map(|organization| organization.as_str().ok())
        .map(ToOwned::to_owned)
        .collect();
    Some(Caller::authenticated(user, groups))
}
