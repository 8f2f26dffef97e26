//! TLS of the tools: `rediss://` in an address, and whom they believe.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::error::Error;
use crate::tls;

/// Whom a tool believes, and who it says it is.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// With rediss://: the authority that vouches for the server (PEM).
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// The certificate shown to the server, if it asks for one (PEM).
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "tls_ca"])]
    pub tls_cert: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// The name in the server's certificate [default: the host in its address].
    #[arg(long, value_name = "NAME", requires = "tls_ca")]
    pub tls_name: Option<String>,
}

impl Trust {
    /// What a connection to a host needs: the configuration, and the name the server must have.
    pub(super) fn of_host(&self, host: &str) -> Result<(Arc<ClientConfig>, ServerName<'static>), Error> {
        let place = || format!("rediss://{host}");
        let Some(ca) = &self.tls_ca else {
            let why = "say with --tls-ca FILE who vouches for the server (import: --from-tls-ca for the one the keys come from)";
            return Err(Error::Setting(place(), why.to_owned()));
        };
        let own = self.tls_cert.as_deref().zip(self.tls_key.as_deref());
        let name = self.tls_name.as_deref().unwrap_or(host).to_owned();
        let name = ServerName::try_from(name).map_err(|why| Error::Setting(place(), why.to_string()))?;
        Ok((Arc::new(tls::to_servers(ca, own)?), name))
    }
}
