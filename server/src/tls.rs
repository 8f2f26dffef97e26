//! TLS, by [rustls](https://docs.rs/rustls): for clients (`--tls-listen`, `--https`), and between nodes (`--peer-tls-cert` and others).
//!
//! Nodes know each other by certificates of one authority that are made out to the name `dotted`: a node is no host name, and may
//! come back at another address.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::error::Error;

/// How long a client may take to agree on TLS.
pub(crate) const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// The name that certificates of nodes are made out to.
pub const NODE_NAME: &str = "dotted";

/// A connection, encrypted or not.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

/// The flags about TLS.
#[derive(Args, Clone, Debug, Default)]
pub struct TlsOptions {
    /// Where clients connect by TLS, beside the plain port [default: nowhere].
    #[arg(long, value_name = "HOST:PORT", requires_all = ["tls_cert", "tls_key"])]
    pub tls_listen: Option<std::net::SocketAddr>,
    /// Where HTTP is spoken by TLS, beside the plain one or alone [default: nowhere].
    #[arg(long, value_name = "HOST:PORT", requires_all = ["tls_cert", "tls_key"])]
    pub https: Option<std::net::SocketAddr>,
    /// The certificate shown to clients, with those that vouch for it (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Take only clients with a certificate of this authority (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_ca: Option<PathBuf>,
    /// The certificate shown to other nodes, made out to the name `dotted` (PEM): links between nodes are encrypted then.
    #[arg(long, value_name = "FILE", requires_all = ["peer_tls_key", "peer_tls_ca"])]
    pub peer_tls_cert: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE", requires = "peer_tls_cert")]
    pub peer_tls_key: Option<PathBuf>,
    /// The authority that vouches for all nodes of the cluster (PEM).
    #[arg(long, value_name = "FILE", requires = "peer_tls_cert")]
    pub peer_tls_ca: Option<PathBuf>,
    /// Take nodes that show no certificate: links are encrypted, and the one that dials is believed.
    #[arg(long, requires = "peer_tls_cert")]
    pub peer_tls_any_client: bool,
}

/// Both ends of TLS between nodes.
#[derive(Clone)]
pub struct PeerTls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    /// Do both ends show certificates?
    pub is_mutual: bool,
}

impl PeerTls {
    /// As the flags say; nothing if they say nothing.
    ///
    /// # Errors
    /// [`Error::Tls`] if a file cannot be read, or does not hold what it should.
    pub fn new(options: &TlsOptions) -> Result<Option<Self>, Error> {
        let (Some(cert), Some(key), Some(ca)) = (&options.peer_tls_cert, &options.peer_tls_key, &options.peer_tls_ca)
        else {
            return Ok(None);
        };
        let is_mutual = !options.peer_tls_any_client;
        let acceptor = acceptor(cert, key, is_mutual.then_some(ca))?;
        let trusting = ClientConfig::builder().with_root_certificates(roots(ca)?);
        let config = trusting.with_client_auth_cert(chain(cert)?, private_key(key)?);
        let config = config.map_err(|why| Error::Tls(cert.clone(), why.to_string()))?;
        Ok(Some(Self { acceptor, connector: TlsConnector::from(Arc::new(config)), is_mutual }))
    }

    pub(crate) async fn accept(&self, stream: TcpStream) -> std::io::Result<Box<dyn Duplex>> {
        Ok(Box::new(self.acceptor.accept(stream).await?))
    }

    pub(crate) async fn connect(&self, stream: TcpStream) -> std::io::Result<Box<dyn Duplex>> {
        let name = ServerName::try_from(NODE_NAME).map_err(std::io::Error::other)?;
        Ok(Box::new(self.connector.connect(name, stream).await?))
    }
}

/// How a tool speaks to a server that this authority vouches for, with a certificate of its own or without.
pub(crate) fn to_servers(ca: &Path, own: Option<(&Path, &Path)>) -> Result<ClientConfig, Error> {
    let config = ClientConfig::builder().with_root_certificates(roots(ca)?);
    let Some((cert, key)) = own else { return Ok(config.with_no_client_auth()) };
    let config = config.with_client_auth_cert(chain(cert)?, private_key(key)?);
    config.map_err(|why| Error::Tls(cert.to_owned(), why.to_string()))
}

/// What takes clients' connections by TLS, those of HTTP among them; nothing if the flags say nothing of it.
///
/// # Errors
/// As [`PeerTls::new`].
pub fn for_clients(options: &TlsOptions) -> Result<Option<TlsAcceptor>, Error> {
    match (&options.tls_cert, &options.tls_key) {
        (Some(cert), Some(key)) => acceptor(cert, key, options.tls_ca.as_ref()).map(Some),
        _ => Ok(None),
    }
}

fn acceptor(cert: &Path, key: &Path, ca_of_clients: Option<&PathBuf>) -> Result<TlsAcceptor, Error> {
    let verifier: Arc<dyn ClientCertVerifier> = match ca_of_clients {
        Some(ca) => WebPkiClientVerifier::builder(Arc::new(roots(ca)?))
            .build()
            .map_err(|why| Error::Tls(ca.clone(), why.to_string()))?,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let config = ServerConfig::builder().with_client_cert_verifier(verifier);
    let config = config.with_single_cert(chain(cert)?, private_key(key)?);
    let config = config.map_err(|why| Error::Tls(cert.to_owned(), why.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let failed = |why: String| Error::Tls(path.to_owned(), why);
    let certificates = CertificateDer::pem_file_iter(path).map_err(|why| failed(why.to_string()))?;
    let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(|why| failed(why.to_string()))?;
    if certificates.is_empty() { Err(failed("it holds no certificate".to_owned())) } else { Ok(certificates) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_file(path).map_err(|why| Error::Tls(path.to_owned(), why.to_string()))
}

fn roots(path: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(path)? {
        roots.add(certificate).map_err(|why| Error::Tls(path.to_owned(), why.to_string()))?;
    }
    Ok(roots)
}
