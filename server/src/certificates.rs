//! The certificate that new connections see: made here and made anew in time, or the operator's own.
//!
//! Whichever it is, the identity has signed it, because that is what clients pin. An operator's certificate
//! that somebody else has signed would say nothing to them; so the identity vouches for its key, for as long
//! as that certificate lasts, and clients see that. While the identity's key is kept elsewhere, it is one that
//! was signed ahead, or an operator's that the identity has signed. A connection that stands keeps what it was made with.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use rcgen::KeyPair;
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tracing::{error, info, warn};

use crate::{
    fault::{CertificateProblem, Fault},
    tls::{self, Identity, NotValid, Standing},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a certificate of ours is valid: people whose clock is a year ahead still get in.
const LIFETIME: Duration = DAY.saturating_mul(730);

/// How old it may become. It is then made anew, with a new key, long before it ends.
const RENEWED_AFTER: Duration = DAY.saturating_mul(30);

/// How long before its end an operator's certificate is warned of.
const WARNED_BEFORE: Duration = DAY.saturating_mul(14);

/// The year 2026. A machine whose clock stands before it has not been told the time yet, and a certificate that
/// followed its clock would have expired for everybody else.
const EARLIEST: Duration = DAY.saturating_mul(20_454);

/// Where a certificate and its key are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) form: Form,
}

/// How certificates and keys are written down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    /// As our own files are.
    Der,
    /// As those of operators are.
    Pem,
}

/// The certificate in use.
pub(crate) struct Certificates {
    identity: Identity,
    /// One that was signed ahead, for as long as the identity's key is elsewhere.
    leaf: Files,
    current: RwLock<Current>,
}

/// A certificate that can be used, and is from [`Certificates::swap`] on.
pub(crate) struct Current {
    certified: Arc<CertifiedKey>,
    until: SystemTime,
    origin: Origin,
}

enum Origin {
    /// Made here.
    Made { at: SystemTime },
    /// The operator's, of whose end it has been `warned` or not.
    Operator { warned: bool },
}

impl Certificates {
    /// With the certificate in `files`, or one made now, or if the identity's key is elsewhere, with `leaf`.
    pub(crate) fn new(
        identity: Identity,
        leaf: Files,
        files: Option<&Files>,
        now: SystemTime,
    ) -> Result<Self, Fault> {
        let current = RwLock::new(prepare(&identity, &leaf, files, now)?);
        Ok(Self { identity, leaf, current })
    }

    /// Reads and checks the certificate in `files`, or makes one. Nothing changes yet.
    pub(crate) fn prepare(&self, files: Option<&Files>, now: SystemTime) -> Result<Current, Fault> {
        prepare(&self.identity, &self.leaf, files, now)
    }

    /// From now on new connections see this one.
    pub(crate) fn swap(&self, current: Current) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
    }

    /// Whether connections see one that was made here.
    pub(crate) fn is_made_here(&self) -> bool {
        self.read(|current| matches!(current.origin, Origin::Made { .. }))
    }

    /// When the one in use ends.
    pub(crate) fn until(&self) -> SystemTime {
        self.read(|current| current.until)
    }

    /// Makes a new one if it is time to, or warns.
    pub(crate) fn look_after(&self, now: SystemTime) {
        let due = self.read(|current| match current.origin {
            // One from the future was made while the clock was wrong.
            Origin::Made { at } => now < at || at + RENEWED_AFTER <= now,
            Origin::Operator { warned } => !warned && current.until < now + WARNED_BEFORE,
        });
        if !due {
            return;
        }
        if self.is_made_here() {
            match make(&self.identity, now) {
                Ok(made) => {
                    self.swap(made);
                    info!("the certificate was made anew");
                }
                Err(error) => error!("the certificate could not be made anew: {error:#}"),
            }
        } else {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            current.origin = Origin::Operator { warned: true };
            let days =
                current.until.duration_since(now).unwrap_or_default().as_secs() / DAY.as_secs();
            warn!(days, "the certificate ends soon; renew it and send SIGHUP");
        }
    }

    fn read<T>(&self, look: impl FnOnce(&Current) -> T) -> T {
        look(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificates(..)")
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.read(|current| Arc::clone(&current.certified)))
    }
}

fn prepare(
    identity: &Identity,
    leaf: &Files,
    files: Option<&Files>,
    now: SystemTime,
) -> Result<Current, Fault> {
    match files {
        Some(files) => of_operator(identity, files, now),
        None if identity.has_key() => Ok(make(identity, now)?),
        None => of_operator(identity, leaf, now),
    }
}

/// A fresh key, and a certificate for it that lasts until `until`; both DER.
pub(crate) fn sign_ahead(
    identity: &Identity,
    until: SystemTime,
) -> Result<(CertificateDer<'static>, zeroize::Zeroizing<Vec<u8>>)> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).context("generating a key")?;
    Ok((identity.vouch(&key, until)?, zeroize::Zeroizing::new(key.serialize_der())))
}

fn make(identity: &Identity, now: SystemTime) -> Result<Current> {
    let until = now.max(UNIX_EPOCH + EARLIEST) + LIFETIME;
    let (leaf, key) = sign_ahead(identity, until)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.to_vec()));
    let chain = vec![leaf, identity.certificate().clone()];
    let certified = CertifiedKey::from_der(chain, key, &tls::provider());
    let certified = Arc::new(certified.context("using a fresh certificate")?);
    Ok(Current { certified, until, origin: Origin::Made { at: now } })
}

fn of_operator(identity: &Identity, files: &Files, now: SystemTime) -> Result<Current, Fault> {
    let of = |path: &Path, problem| Fault::Certificate { path: path.to_owned(), problem };
    let bad_certificate = |problem| of(&files.certificate, problem);
    let bad_key = |problem| of(&files.key, problem);

    let (certificate, key) = (read(&files.certificate)?, read_key(&files.key)?);
    let (leaf, key) = match files.form {
        Form::Der => {
            let key = PrivatePkcs8KeyDer::from(key.to_vec());
            (Ok(CertificateDer::from(certificate)), Ok(PrivateKeyDer::from(key)))
        }
        Form::Pem => {
            let leaf = CertificateDer::from_pem_slice(&certificate);
            (leaf, PrivateKeyDer::from_pem_slice(&key))
        }
    };
    let leaf = leaf.map_err(|_| bad_certificate(CertificateProblem::NotPem))?;
    let key = key.map_err(|_| bad_key(CertificateProblem::NotPem))?;

    let Standing { until, vouched_for } = identity.looks_at(&leaf, now).map_err(|why| {
        bad_certificate(match why {
            NotValid::Expired => CertificateProblem::Expired,
            NotValid::Early => CertificateProblem::Early,
            NotValid::Unusable => CertificateProblem::NotForServers,
        })
    })?;
    let of_key = KeyPair::try_from(&key).map_err(|_| bad_key(CertificateProblem::UnknownKey))?;
    let provider = tls::provider();
    let signing = provider.key_provider.load_private_key(key);
    let signing = signing.map_err(|_| bad_key(CertificateProblem::UnknownKey))?;
    let fits = CertifiedKey::new(vec![leaf.clone()], Arc::clone(&signing)).keys_match();
    fits.map_err(|_| bad_key(CertificateProblem::AnotherKey))?;

    let leaf = match (vouched_for, identity.has_key()) {
        (true, _) => leaf,
        (false, true) => identity.vouch(&of_key, until)?,
        (false, false) => return Err(bad_certificate(CertificateProblem::NotVouchedFor)),
    };
    let certified = CertifiedKey::new(vec![leaf, identity.certificate().clone()], signing);
    Ok(Current {
        certified: Arc::new(certified),
        until,
        origin: Origin::Operator { warned: false },
    })
}

/// A key that everybody on this machine can read is not one that the identity vouches for. A group may:
/// tools that fetch certificates have one for those who use them.
fn read_key(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, Fault> {
    let unreadable = |error| Fault::Unreadable { path: path.to_owned(), error };
    let mode = fs::metadata(path).map_err(unreadable)?.permissions().mode() & 0o7777;
    if mode & 0o007 != 0 {
        return Err(Fault::Exposed { path: path.to_owned(), mode });
    }
    Ok(zeroize::Zeroizing::new(read(path)?))
}

fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    fs::read(path).map_err(|error| Fault::Unreadable { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use rcgen::CertificateParams;
    use tempfile::TempDir;

    use super::*;

    fn now() -> SystemTime {
        UNIX_EPOCH + EARLIEST + 200 * DAY
    }

    fn nowhere() -> Files {
        let [certificate, key] = ["nowhere.crt", "nowhere.key"].map(PathBuf::from);
        Files { certificate, key, form: Form::Der }
    }

    fn made(identity: Identity, now: SystemTime) -> Certificates {
        Certificates::new(identity, nowhere(), None, now).unwrap()
    }

    fn leaf(certificates: &Certificates) -> CertificateDer<'static> {
        certificates.read(|current| current.certified.cert[0].clone())
    }

    /// A certificate that names its own issuer, as far as clients are concerned.
    fn written(
        folder: &TempDir,
        until: SystemTime,
        algorithm: &'static rcgen::SignatureAlgorithm,
    ) -> Files {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = CertificateParams::new(["chat.example.org".to_owned()]).unwrap();
        params.not_before = UNIX_EPOCH.into();
        params.not_after = until.into();
        let issuer_key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let mut issuer = CertificateParams::default();
        issuer.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = rcgen::Issuer::from_params(&issuer, &issuer_key);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let files = Files {
            certificate: folder.path().join("fullchain.pem"),
            key: folder.path().join("privkey.pem"),
            form: Form::Pem,
        };
        fs::write(&files.certificate, pem("CERTIFICATE", certificate.der())).unwrap();
        fs::write(&files.key, pem("PRIVATE KEY", &key.serialize_der())).unwrap();
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o640)).unwrap();
        files
    }

    #[test]
    fn it_is_made_anew_in_time_and_not_before() {
        let certificates = made(Identity::generate().unwrap(), now());
        let first = leaf(&certificates);
        for (later, renewed) in [(Duration::ZERO, false), (29 * DAY, false), (30 * DAY, true)] {
            certificates.look_after(now() + later);
            assert_eq!(leaf(&certificates) != first, renewed, "{later:?}");
        }
        assert_eq!(certificates.until(), now() + 30 * DAY + LIFETIME);
        let standing = certificates.identity.looks_at(&leaf(&certificates), now() + 720 * DAY);
        assert!(standing.unwrap().vouched_for);
    }

    #[test]
    fn one_that_was_made_under_a_wrong_clock_is_made_anew() {
        let certificates = made(Identity::generate().unwrap(), now() + 365 * DAY);
        certificates.look_after(now());
        assert_eq!(certificates.until(), now() + LIFETIME);
        let unset = made(Identity::generate().unwrap(), UNIX_EPOCH);
        assert_eq!(unset.until(), UNIX_EPOCH + EARLIEST + LIFETIME);
        unset.look_after(now());
        assert_eq!(unset.until(), now() + LIFETIME);
    }

    #[test]
    fn the_identity_vouches_for_an_operators_key_as_long_as_its_certificate_lasts() {
        for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519] {
            let folder = tempfile::tempdir().unwrap();
            let files = written(&folder, now() + 60 * DAY, algorithm);
            let identity = Identity::generate().unwrap();
            let certificates = Certificates::new(identity, nowhere(), Some(&files), now()).unwrap();
            let standing = certificates.identity.looks_at(&leaf(&certificates), now()).unwrap();
            assert_eq!(standing, Standing { until: now() + 60 * DAY, vouched_for: true });
            certificates.read(|current| current.certified.keys_match()).unwrap();
            let before = leaf(&certificates);
            certificates.look_after(now() + 59 * DAY);
            assert_eq!(leaf(&certificates), before, "it is the operator's to renew");
        }
    }

    #[test]
    fn one_that_the_identity_has_signed_elsewhere_is_used_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::generate().unwrap();
        let files = written(&folder, now() + DAY, &rcgen::PKCS_ED25519);
        let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
        let key = KeyPair::try_from(&key).unwrap();
        let signed = identity.vouch(&key, now() + 100 * DAY).unwrap();
        fs::write(&files.certificate, pem("CERTIFICATE", &signed)).unwrap();
        let certificates = Certificates::new(identity, nowhere(), Some(&files), now()).unwrap();
        assert_eq!(leaf(&certificates), signed);
    }

    #[test]
    fn what_cannot_be_used_is_refused_before_anything_changes() {
        let folder = tempfile::tempdir().unwrap();
        let certificates = made(Identity::generate().unwrap(), now());
        let before = leaf(&certificates);
        let refused = |files: &Files, now| match certificates.prepare(Some(files), now).err() {
            Some(Fault::Certificate { problem, .. }) => problem,
            other => panic!("{other:?}"),
        };
        let files = written(&folder, now() + DAY, &rcgen::PKCS_ECDSA_P256_SHA256);
        assert!(certificates.prepare(Some(&files), now()).is_ok());
        assert_eq!(refused(&files, now() + 2 * DAY), CertificateProblem::Expired);

        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let key = pem("PRIVATE KEY", &key.serialize_der());
        let own = fs::read_to_string(&files.key).unwrap();
        fs::write(&files.key, key).unwrap();
        assert_eq!(refused(&files, now()), CertificateProblem::AnotherKey);
        fs::write(&files.key, "key").unwrap();
        assert_eq!(refused(&files, now()), CertificateProblem::NotPem);
        fs::write(&files.key, own).unwrap();
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o644)).unwrap();
        let exposed = certificates.prepare(Some(&files), now()).err();
        assert!(matches!(exposed, Some(Fault::Exposed { mode: 0o644, .. })), "{exposed:?}");
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&files.certificate, "certificate").unwrap();
        assert_eq!(refused(&files, now()), CertificateProblem::NotPem);
        fs::remove_file(&files.certificate).unwrap();
        let missing = certificates.prepare(Some(&files), now()).err();
        assert!(matches!(missing, Some(Fault::Unreadable { .. })), "{missing:?}");
        assert_eq!(leaf(&certificates), before);
    }

    fn pem(kind: &str, bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let groups = bytes.chunks(3).map(|group| {
            let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
            let bits = bits << (8 * (3 - group.len()));
            let digit = |at: usize| char::from(DIGITS[(bits >> (18 - 6 * at)) as usize & 63]);
            let digits = (0..4).map(|at| if at <= group.len() { digit(at) } else { '=' });
            digits.collect::<String>()
        });
        let body = groups.collect::<String>();
        format!("-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n")
    }
}
