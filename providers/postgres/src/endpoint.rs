//! The channel binding `tls-server-end-point` (RFC 5929, section 4.1): a hash of the certificate that the server showed.
//!
//! SCRAM mixes it into the proof of the password. Whoever stands in between with another certificate, even one that we would accept, cannot pass the
//! proof on. The hash is that of the certificate's signature; MD5 and SHA-1 are replaced by SHA-256.

use ring::digest::{Algorithm, SHA256, SHA384, SHA512, digest};

/// The binding of a certificate in DER form; `None` where the RFC defines none (Ed25519) or the signature is one that this does not know.
pub(crate) fn binding(certificate: &[u8]) -> Option<Vec<u8>> {
    Some(digest(signature_hash(certificate)?, certificate).as_ref().to_vec())
}

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// `[0]` of a sequence, explicit.
const CONTEXT_0: u8 = 0xa0;

/// `Certificate ::= SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm SEQUENCE { OBJECT IDENTIFIER, parameters }, signature }`.
fn signature_hash(certificate: &[u8]) -> Option<&'static Algorithm> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (_, rest) = element(certificate, SEQUENCE)?;
    let (algorithm, _) = element(rest, SEQUENCE)?;
    let (name, parameters) = element(algorithm, OBJECT_IDENTIFIER)?;
    match name {
        // 1.2.840.113549.1.1.10, RSASSA-PSS: the hash is a parameter, SHA-1 by default.
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a] => {
            let (parameters, _) = element(parameters, SEQUENCE)?;
            let Some((hash, _)) = element(parameters, CONTEXT_0) else { return Some(&SHA256) };
            let (hash, _) = element(hash, SEQUENCE)?;
            let (name, _) = element(hash, OBJECT_IDENTIFIER)?;
            match name {
                // 1.3.14.3.2.26, SHA-1.
                [0x2b, 0x0e, 0x03, 0x02, 0x1a] => Some(&SHA256),
                // 2.16.840.1.101.3.4.2.n.
                [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, n] => sha2(*n, [1, 2, 3]),
                _ => None,
            }
        }
        // 1.2.840.113549.1.1.n: RSA with MD5, SHA-1, SHA-256, SHA-384, SHA-512.
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, n] => {
            if matches!(n, 4 | 5) {
                Some(&SHA256)
            } else {
                sha2(*n, [11, 12, 13])
            }
        }
        // 1.2.840.10045.4.1 and 4.3.n: ECDSA with SHA-1, with SHA-2.
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01] => Some(&SHA256),
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, n] => sha2(*n, [2, 3, 4]),
        _ => None,
    }
}

/// SHA-256, SHA-384 or SHA-512 by the last arc that a family of names has for each.
fn sha2(arc: u8, arcs: [u8; 3]) -> Option<&'static Algorithm> {
    let algorithms: [&'static Algorithm; 3] = [&SHA256, &SHA384, &SHA512];
    arcs.iter().zip(algorithms).find(|(a, _)| **a == arc).map(|(_, algorithm)| algorithm)
}

/// The content of the element that comes first, which must have this tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    if *found != tag {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        // The length's own length: four bytes say more than any certificate has.
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (length.iter().fold(0, |n, b| n << 8 | usize::from(*b)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::process::Command;

    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;

    fn certificate(key: &str, signature: &str) -> Option<Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.crt");
        let arguments = format!("req -x509 -nodes -days 9 -subj /CN=x {key} {signature}");
        let out = Command::new("openssl")
            .args(arguments.split_whitespace())
            .arg("-keyout")
            .arg(folder.path().join("c.key"))
            .arg("-out")
            .arg(&file)
            .output()
            .unwrap();
        // A build of OpenSSL may refuse what is old.
        out.status.success().then(|| CertificateDer::from_pem_file(&file).unwrap().to_vec())
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        let (rsa, ec) = ("-newkey rsa:2048", "-newkey ec -pkeyopt ec_paramgen_curve:P-256");
        let pss = "-sigopt rsa_padding_mode:pss";
        for (key, signature, algorithm) in [
            (rsa, "-sha256", Some(&SHA256)),
            (rsa, "-sha384", Some(&SHA384)),
            (rsa, "-sha512", Some(&SHA512)),
            (rsa, "-sha1", Some(&SHA256)),
            (rsa, &format!("-sha384 {pss}"), Some(&SHA384)),
            (rsa, &format!("-sha1 {pss}"), Some(&SHA256)),
            (ec, "-sha256", Some(&SHA256)),
            (ec, "-sha512", Some(&SHA512)),
            (ec, "-sha1", Some(&SHA256)),
            ("-newkey ed25519", "", None),
        ] {
            let Some(der) = certificate(key, signature) else {
                assert!(signature.contains("sha1"), "{key} {signature}");
                continue;
            };
            let expected = algorithm.map(|a| digest(a, &der).as_ref().to_vec());
            assert_eq!(binding(&der), expected, "{key} {signature}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_none() {
        let der = certificate("-newkey ec -pkeyopt ec_paramgen_curve:P-256", "-sha256").unwrap();
        for end in 0..der.len() {
            assert_eq!(binding(&der[..end]), None, "{end}");
        }
        for text in [&[][..], &[0x30], &[0x30, 0x80], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0x30, 0x85, 0, 0, 0, 0, 0], b"-----BEGIN"] {
            assert_eq!(binding(text), None);
        }
    }
}
