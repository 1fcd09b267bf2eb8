//! A certificate authority of one's own for each lab.
//!
//! Everything that talks to the lab's API server proves who it is with a certificate from
//! here, and the server proves itself the same way. Keys are ECDSA P-256, every private file is
//! 0600, and nothing from one lab is trusted by another.
//!
//! Certificates hold from a day ago (clocks differ) for ten years: a lab that outlives its
//! certificates would fail in a way nobody expects.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::ToSpan;
use jiff::civil::Date;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};

use super::kubeconfig::write_private;

const CA_CERTIFICATE: &str = "ca.crt";
const CA_KEY: &str = "ca.key";

#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("cannot {step} {}", path.display())]
    File {
        step: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("cannot make the certificate of {subject}")]
    Certificate {
        subject: String,
        source: rcgen::Error,
    },
    #[error("{} is not a usable certificate authority", dir.display())]
    Unusable { dir: PathBuf, source: rcgen::Error },
}

/// The lab's authority: its certificate and the key that signs for it.
pub struct Authority {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its private key, both PEM.
#[derive(Clone)]
pub struct Identity {
    pub certificate_pem: String,
    pub key_pem: String,
}

impl Authority {
    /// Reads `ca.crt` and `ca.key` from `dir`, or makes both (and `dir`, 0700) for the lab of that
    /// name.
    ///
    /// Idempotent. Two callers at once may each make one: the lab's lock is the caller's.
    pub fn load_or_create(dir: &Path, lab: &str) -> Result<Authority, PkiError> {
        let certificate = dir.join(CA_CERTIFICATE);
        let key = dir.join(CA_KEY);
        if certificate.exists() && key.exists() {
            return Authority::load(dir, &certificate, &key);
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(file_error("create", dir))?;
        let authority = Authority::create(lab)?;
        // The key first: a certificate without its key would look complete to nobody.
        write_private(&key, &authority.issuer.key().serialize_pem())
            .map_err(file_error("write", &key))?;
        // Whole or not at all, as the key: half a certificate would be loaded and refused for ever.
        write_private(&certificate, &authority.certificate_pem)
            .map_err(file_error("write", &certificate))?;
        Ok(authority)
    }

    fn load(dir: &Path, certificate: &Path, key: &Path) -> Result<Authority, PkiError> {
        let certificate_pem =
            fs::read_to_string(certificate).map_err(file_error("read", certificate))?;
        let key_pem = fs::read_to_string(key).map_err(file_error("read", key))?;
        let unusable = |source| PkiError::Unusable {
            dir: dir.to_owned(),
            source,
        };
        let key = KeyPair::from_pem(&key_pem).map_err(unusable)?;
        let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key).map_err(unusable)?;
        Ok(Authority {
            certificate_pem,
            issuer,
        })
    }

    fn create(lab: &str) -> Result<Authority, PkiError> {
        let subject = format!("podnet-{lab}");
        let failed = certificate_error(&subject);
        let mut params = params(&subject, None, &[]).map_err(&failed)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(&failed)?;
        let certificate_pem = params.self_signed(&key).map_err(&failed)?.pem();
        Ok(Authority {
            certificate_pem,
            issuer: Issuer::new(params, key),
        })
    }

    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// A server certificate for the given IP addresses and DNS names.
    pub fn server_identity(&self, names: &[String]) -> Result<Identity, PkiError> {
        self.sign(
            "podnet-server",
            None,
            names,
            ExtendedKeyUsagePurpose::ServerAuth,
        )
    }

    /// A client certificate: the common name is the Kubernetes user, the organization its group.
    pub fn client_identity(
        &self,
        common_name: &str,
        organization: &str,
    ) -> Result<Identity, PkiError> {
        self.sign(
            common_name,
            Some(organization),
            &[],
            ExtendedKeyUsagePurpose::ClientAuth,
        )
    }

    fn sign(
        &self,
        common_name: &str,
        organization: Option<&str>,
        names: &[String],
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<Identity, PkiError> {
        let failed = certificate_error(common_name);
        let mut params = params(common_name, organization, names).map_err(&failed)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(&failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(&failed)?;
        Ok(Identity {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }
}

impl Identity {
    /// Writes `stem.crt` and `stem.key` into `dir`, each whole or not at all, mode 0600.
    pub fn write(&self, dir: &Path, stem: &str) -> Result<(), PkiError> {
        let key = dir.join(format!("{stem}.key"));
        write_private(&key, &self.key_pem).map_err(file_error("write", &key))?;
        let certificate = dir.join(format!("{stem}.crt"));
        write_private(&certificate, &self.certificate_pem)
            .map_err(file_error("write", &certificate))
    }
}

fn params(
    common_name: &str,
    organization: Option<&str>,
    names: &[String],
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    let today = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    // rcgen's own type for a moment is not nameable from here, so the conversion is a closure.
    let midnight = |date: Date| {
        rcgen::date_time_ymd(
            i32::from(date.year()),
            date.month().unsigned_abs(),
            date.day().unsigned_abs(),
        )
    };
    params.not_before = midnight(today.saturating_sub(1.day()));
    params.not_after = midnight(today.saturating_add(10.years()));
    let mut subject = DistinguishedName::new();
    if let Some(organization) = organization {
        subject.push(DnType::OrganizationName, organization);
    }
    subject.push(DnType::CommonName, common_name);
    params.distinguished_name = subject;
    Ok(params)
}

fn file_error(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PkiError {
    let path = path.to_owned();
    move |source| PkiError::File { step, path, source }
}

fn certificate_error(subject: &str) -> impl Fn(rcgen::Error) -> PkiError {
    let subject = subject.to_owned();
    move |source| PkiError::Certificate {
        subject: subject.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_second_start_keeps_the_authority_and_its_private_files_private() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("pki");
        let first = Authority::load_or_create(&dir, "lab").unwrap();
        let second = Authority::load_or_create(&dir, "lab").unwrap();
        assert_eq!(first.certificate_pem(), second.certificate_pem());
        assert_eq!(mode(&dir), 0o700);
        assert_eq!(mode(&dir.join("ca.key")), 0o600);

        let identity = second.server_identity(&["127.0.0.1".into()]).unwrap();
        identity.write(&dir, "server").unwrap();
        assert_eq!(mode(&dir.join("server.key")), 0o600);
    }

    #[test]
    fn a_client_certificate_names_user_and_group() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::load_or_create(dir.path(), "lab").unwrap();
        let identity = authority
            .client_identity("system:node:node-1", "system:nodes")
            .unwrap();
        let (_, pem) =
            x509_parser::pem::parse_x509_pem(identity.certificate_pem.as_bytes()).unwrap();
        let certificate = pem.parse_x509().unwrap();
        assert_eq!(
            certificate.subject().to_string(),
            "O=system:nodes, CN=system:node:node-1"
        );
        assert!(certificate.validity().is_valid());
    }
}
