//! TLS towards the source: rustls with ring, and what each `sslmode` checks.
//!
//! Meanings are libpq's (<https://www.postgresql.org/docs/15/libpq-ssl.html>): `require` encrypts but does not check who answers, except where a
//! root certificate is given, then it checks the chain as `verify-ca` does.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use fjord_engine::{Result, SqlState};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;

use crate::endpoint;
use crate::error::Origin;
use crate::options::{PostgresOptions, SslMode};

/// Makes TLS connections as the options say. Cheap to clone.
#[derive(Clone)]
pub(crate) struct MakeTls {
    config: Arc<ClientConfig>,
}

impl MakeTls {
    /// Reads certificate files now, so that a wrong path is an error at CREATE.
    pub(crate) fn new(origin: &Origin, options: &PostgresOptions) -> Result<MakeTls> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let fault = |m: String| origin.error(SqlState::CONFIG_FILE_ERROR, m);
        let check_chain = match options.sslmode {
            SslMode::VerifyCa | SslMode::VerifyFull => true,
            SslMode::Require => options.sslrootcert.is_some(),
            SslMode::Disable => false,
        };
        let verifier: Arc<dyn ServerCertVerifier> = if check_chain {
            let roots = Arc::new(roots(origin, options.sslrootcert.as_deref())?);
            let web_pki = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
                .build()
                .map_err(|e| fault(format!("the trusted certificates cannot be used: {e}")))?;
            if options.sslmode == SslMode::VerifyFull { web_pki } else { Arc::new(ChainOnly(web_pki)) }
        } else {
            Arc::new(NotChecked(provider.clone()))
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| fault(format!("TLS cannot be set up: {e}")))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match (&options.sslcert, &options.sslkey) {
            (Some(cert), Some(key)) => {
                let chain = certificates(origin, "sslcert", cert)?;
                let key_bytes = read(origin, "sslkey", key)?;
                let key = PrivateKeyDer::from_pem_slice(&key_bytes)
                    .map_err(|_| fault(format!("sslkey: \"{}\" holds no usable private key in PEM form", key.display())))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|e| fault(format!("sslcert and sslkey cannot be used: {e}")).hint("The key must belong to the certificate."))?
            }
            _ => builder.with_no_client_auth(),
        };
        Ok(MakeTls { config: Arc::new(config) })
    }
}

fn read(origin: &Origin, option: &str, path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| {
        origin
            .error(SqlState::CONFIG_FILE_ERROR, format!("{option}: \"{}\" cannot be read: {e}", path.display()))
            .hint("The file must be readable for the server process.")
    })
}

fn certificates(origin: &Origin, option: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = read(origin, option, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(c) if !c.is_empty() => Ok(c),
        _ => Err(origin.error(SqlState::CONFIG_FILE_ERROR, format!("{option}: \"{}\" holds no certificate in PEM form", path.display()))),
    }
}

fn roots(origin: &Origin, path: Option<&Path>) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    match path {
        Some(p) if p != Path::new("system") => {
            for c in certificates(origin, "sslrootcert", p)? {
                store.add(c).map_err(|e| {
                    origin.error(SqlState::CONFIG_FILE_ERROR, format!("sslrootcert: \"{}\" cannot be used: {e}", p.display()))
                })?;
            }
        }
        _ => {
            // A broken certificate among the operating system's own is skipped, as every TLS client does.
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if store.is_empty() {
                return Err(origin
                    .error(SqlState::CONFIG_FILE_ERROR, "the operating system has no trusted certificates")
                    .hint("Give the certificate authority's file in \"sslrootcert\"."));
            }
        }
    }
    Ok(store)
}

/// `require`: anybody may answer, but who answers must own the key of the certificate that was shown.
#[derive(Debug)]
struct NotChecked(Arc<CryptoProvider>);

impl ServerCertVerifier for NotChecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// `verify-ca`: the chain must be right, the name in it does not matter. The inner verifier checks the chain before the name, so an error about
/// the name means that the chain was good.
#[derive(Debug)]
struct ChainOnly(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for ChainOnly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })) => {
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// One connection's handshake.
pub(crate) struct Connect {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl MakeTls {
    /// A handshake with this host.
    pub(crate) fn connect_to(&self, host: &str) -> Result<Connect, rustls_pki_types::InvalidDnsNameError> {
        Ok(Connect { config: self.config.clone(), name: ServerName::try_from(host)?.to_owned() })
    }
}

impl<S> TlsConnect<S> for Connect
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move { Ok(Stream(TlsConnector::from(self.config).connect(self.name, stream).await?)) })
    }
}

/// A TLS stream in the shape that the driver wants.
pub(crate) struct Stream<S>(tokio_rustls::client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Stream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        let (_, session) = self.0.get_ref();
        let shown = session.peer_certificates().and_then(<[_]>::first);
        shown.and_then(|c| endpoint::binding(c)).map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
