//! Connections to the server that do as they please.

use std::net::SocketAddr;
use std::sync::Arc;

use podnet::cluster::pki::Authority;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::lab::Lab;

/// As little as the kernel gives, so that what is not read is soon the server's trouble.
const RECEIVE_BYTES: u32 = 4 << 10;

pub async fn tcp(lab: &Lab) -> TcpStream {
    let address: SocketAddr = lab.url.strip_prefix("https://").unwrap().parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(RECEIVE_BYTES).unwrap();
    socket.connect(address).await.unwrap()
}

/// A connection of the lab's user that speaks `protocol` (ALPN).
pub async fn tls(lab: &Lab, protocol: &str) -> TlsStream<TcpStream> {
    let authority = Authority::load_or_create(&lab.pki(), "test").unwrap();
    let identity = authority
        .client_identity("tester", "system:masters")
        .unwrap();
    let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate(authority.certificate_pem())).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate(&identity.certificate_pem)], key)
        .unwrap();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, tcp(lab).await).await.unwrap()
}

/// Whatever comes until the server is done with the connection, in whichever way.
pub async fn until_the_end(mut stream: impl tokio::io::AsyncRead + Unpin) -> String {
    let mut all = Vec::new();
    let mut piece = vec![0; 64 << 10];
    while let Ok(read @ 1..) = stream.read(&mut piece).await {
        all.extend_from_slice(&piece[..read]);
    }
    String::from_utf8_lossy(&all).into_owned()
}
