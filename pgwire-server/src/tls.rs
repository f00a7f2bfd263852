//! TLS for clients. A bad certificate or key stops the server at its start: there is no way back to plain text.

use std::path::Path;
use std::sync::Arc;

use fjord_engine::{Result, SqlError, SqlState};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// The server's certificate, ready to use.
pub struct Tls {
    /// Accepts connections.
    pub acceptor: TlsAcceptor,
    /// The certificate chain as PEM, for channel binding.
    pub certificate: Vec<u8>,
}

/// Reads certificate chain and key (PEM files). TLS 1.2 and 1.3.
pub fn load(certificate: &Path, key: &Path) -> Result<Tls> {
    let read = |what: &str, path: &Path| std::fs::read(path).map_err(|e| bad(format!("TLS {what} {} cannot be read: {e}", path.display())));
    let pem = read("certificate", certificate)?;
    let key_pem = read("key", key)?;
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|e| bad(format!("TLS certificate {} is no PEM: {e}", certificate.display())))?;
    if chain.is_empty() {
        return Err(bad(format!("TLS certificate {} has no certificate in it", certificate.display())));
    }
    // The error's text could quote the key: only its place is told.
    let key_der =
        PrivateKeyDer::from_pem_slice(&key_pem).map_err(|_| bad(format!("TLS key {} has no private key in PEM form", key.display())))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| bad(e.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key_der)
        .map_err(|e| bad(format!("TLS certificate {} and key {} do not fit: {e}", certificate.display(), key.display())))?;
    // libpq 17 asks for it, and needs it for sslnegotiation=direct.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), certificate: pem })
}

fn bad(message: String) -> SqlError {
    SqlError::new(SqlState::CONFIG_FILE_ERROR, message)
        .hint("Mend [tls] in fjord.toml; the server does not start without what it was told to use.")
}
