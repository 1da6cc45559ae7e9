//! OPAQUE (RFC 9807) over ristretto255 and SHA-512, with Argon2id as key stretching. Only bytes cross
//! this boundary, and errors say no more than "failed".

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use opaque_ke::{
    CipherSuite, ClientLoginFinishParameters, ClientRegistrationFinishParameters,
    CredentialFinalization, CredentialRequest, CredentialResponse, Identifiers,
    RegistrationRequest, RegistrationResponse, RegistrationUpload, ServerLoginParameters,
    ServerRegistration, TripleDh,
};
use zeroize::Zeroizing;

use super::{derive::derive, label::Label, rng::Rng, secret::Secret, stack::leaving_no_trace};

/// Bytes of the server's long-term secrets. Losing them loses every account.
pub const SETUP_BYTES: usize = 128;
/// Bytes of the record that the server keeps for one account.
pub const RECORD_BYTES: usize = 192;
/// Bytes of a credential identifier, which the server draws for each registration.
pub const CREDENTIAL_BYTES: usize = 32;
/// Bytes of the client's first registration message.
pub const REGISTRATION_REQUEST_BYTES: usize = 32;
/// Bytes of the server's answer to it.
pub const REGISTRATION_RESPONSE_BYTES: usize = 64;
/// Bytes of KE1, the client's first login message.
pub const KE1_BYTES: usize = 96;
/// Bytes of KE2, the server's answer.
pub const KE2_BYTES: usize = 320;
/// Bytes of KE3, the client's proof.
pub const KE3_BYTES: usize = 64;

/// The server's name in the envelope. Constant, so that a server may move to another host.
const SERVER_IDENTITY: &[u8] = b"hither/1";

/// An OPAQUE run that did not come out: a wrong password, an unknown name, a changed message or a man in
/// the middle. Nobody can tell which.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the login did not come out")]
pub struct OpaqueFailed;

/// The cost of turning a password into a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stretching {
    memory_kib: u32,
    passes: u32,
}

impl Stretching {
    /// What every client uses for passwords: Argon2id with 256 MiB and 3 passes, about a second of one core.
    pub const STANDARD: Self = Self { memory_kib: 256 * 1024, passes: 3 };

    /// Next to no work: for what nobody can guess anyway, as a recovery code, and for tests and load generators
    /// that hold no real password.
    pub const TRIVIAL: Self = Self { memory_kib: 8, passes: 1 };

    pub(super) fn argon2(self) -> Result<Argon2<'static>, OpaqueFailed> {
        let params =
            Params::new(self.memory_kib, self.passes, 1, None).map_err(|_| OpaqueFailed)?;
        Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
    }
}

struct Suite;

impl CipherSuite for Suite {
    type OprfCs = opaque_ke::Ristretto255;
    type KeyExchange = TripleDh<opaque_ke::Ristretto255, sha2::Sha512>;
    type Ksf = Argon2<'static>;
}

fn identifiers(name: &[u8]) -> Identifiers<'_> {
    Identifiers { client: Some(name), server: Some(SERVER_IDENTITY) }
}

/// The server's long-term OPAQUE secrets: the OPRF seed and the key of its key exchange.
pub struct ServerSetup(opaque_ke::ServerSetup<Suite>);

impl ServerSetup {
    /// Fresh secrets, for a server that has no accounts.
    pub fn generate(rng: &mut Rng) -> Self {
        Self(opaque_ke::ServerSetup::new(rng))
    }

    /// From the bytes of [`ServerSetup::to_secret`].
    pub fn from_secret(bytes: &Secret<SETUP_BYTES>) -> Result<Self, OpaqueFailed> {
        opaque_ke::ServerSetup::deserialize(bytes.expose()).map(Self).map_err(|_| OpaqueFailed)
    }

    /// The secrets as bytes, to be kept in a file of their own.
    pub fn to_secret(&self) -> Option<Secret<SETUP_BYTES>> {
        Secret::from_slice(&self.0.serialize())
    }
}

impl fmt::Debug for ServerSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerSetup(..)")
    }
}

/// What a finished run gives the client.
#[derive(Debug)]
pub struct ClientKeys {
    /// Known to client and server, fresh in every login. Empty-handed (`None`) after a registration.
    pub session_key: Option<Secret<64>>,
    /// Known to the client alone, the same in every login with this password.
    pub export_key: Secret<64>,
}

/// A client between its first and its last registration message.
pub struct ClientRegistration(opaque_ke::ClientRegistration<Suite>);

impl ClientRegistration {
    /// The state, and the request for the server.
    pub fn start(
        rng: &mut Rng,
        password: &[u8],
    ) -> Result<(Self, [u8; REGISTRATION_REQUEST_BYTES]), OpaqueFailed> {
        leaving_no_trace(|| {
            let started =
                opaque_ke::ClientRegistration::start(rng, password).map_err(|_| OpaqueFailed)?;
            Ok((Self(started.state), array(&started.message.serialize())?))
        })
    }

    /// The record for the server, and the client's keys. Takes as long as `stretching` says.
    pub fn finish(
        self,
        rng: &mut Rng,
        name: &[u8],
        password: &[u8],
        response: &[u8; REGISTRATION_RESPONSE_BYTES],
        stretching: Stretching,
    ) -> Result<([u8; RECORD_BYTES], ClientKeys), OpaqueFailed> {
        let response = RegistrationResponse::deserialize(response).map_err(|_| OpaqueFailed)?;
        let argon2 = stretching.argon2()?;
        let params = ClientRegistrationFinishParameters::new(identifiers(name), Some(&argon2));
        leaving_no_trace(|| {
            let done = self.0.finish(rng, password, response, params).map_err(|_| OpaqueFailed)?;
            let export_key = secret(Zeroizing::new(done.export_key.to_vec()))?;
            Ok((array(&done.message.serialize())?, ClientKeys { session_key: None, export_key }))
        })
    }
}

impl fmt::Debug for ClientRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientRegistration(..)")
    }
}

/// The server's answer to a registration request, under a `credential` that no account has yet. Were it
/// that of an account, the answer would be worth as much as one to a login, and nobody would count it.
pub fn answer_registration(
    setup: &ServerSetup,
    credential: &[u8; CREDENTIAL_BYTES],
    request: &[u8; REGISTRATION_REQUEST_BYTES],
) -> Result<[u8; REGISTRATION_RESPONSE_BYTES], OpaqueFailed> {
    let request = RegistrationRequest::deserialize(request).map_err(|_| OpaqueFailed)?;
    let started = ServerRegistration::<Suite>::start(&setup.0, request, credential);
    array(&started.map_err(|_| OpaqueFailed)?.message.serialize())
}

/// The credential identifier that stands in for that of a name nobody has: the same in every login.
pub fn decoy_credential(secret: &Secret<32>, name: &[u8]) -> [u8; CREDENTIAL_BYTES] {
    *derive(secret.expose(), name, Label::DecoyCredential, &[]).expose()
}

/// The same for a name whose recovery code nobody has made yet, or that nobody has.
pub fn decoy_recovery_credential(secret: &Secret<32>, name: &[u8]) -> [u8; CREDENTIAL_BYTES] {
    *derive(secret.expose(), name, Label::DecoyRecovery, &[]).expose()
}

/// Whether the bytes are a record that a login can be answered from.
pub fn is_record(record: &[u8; RECORD_BYTES]) -> bool {
    RegistrationUpload::<Suite>::deserialize(record).is_ok()
}

/// A client between KE1 and KE3.
pub struct ClientLogin(opaque_ke::ClientLogin<Suite>);

impl ClientLogin {
    /// The state, and KE1.
    pub fn start(rng: &mut Rng, password: &[u8]) -> Result<(Self, [u8; KE1_BYTES]), OpaqueFailed> {
        leaving_no_trace(|| {
            let started = opaque_ke::ClientLogin::start(rng, password).map_err(|_| OpaqueFailed)?;
            Ok((Self(started.state), array(&started.message.serialize())?))
        })
    }

    /// KE3 and the keys, if the server knows the record of `name`, the password opens it, and both ends
    /// have the same `context`. Takes as long as `stretching` says.
    pub fn finish(
        self,
        rng: &mut Rng,
        name: &[u8],
        password: &[u8],
        context: &[u8],
        ke2: &[u8; KE2_BYTES],
        stretching: Stretching,
    ) -> Result<([u8; KE3_BYTES], ClientKeys), OpaqueFailed> {
        let ke2 = CredentialResponse::deserialize(ke2).map_err(|_| OpaqueFailed)?;
        let argon2 = stretching.argon2()?;
        let params =
            ClientLoginFinishParameters::new(Some(context), identifiers(name), Some(&argon2));
        leaving_no_trace(|| {
            let done = self.0.finish(rng, password, ke2, params).map_err(|_| OpaqueFailed)?;
            let session_key = secret(Zeroizing::new(done.session_key.to_vec()))?;
            let export_key = secret(Zeroizing::new(done.export_key.to_vec()))?;
            let keys = ClientKeys { session_key: Some(session_key), export_key };
            Ok((array(&done.message.serialize())?, keys))
        })
    }
}

impl fmt::Debug for ClientLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientLogin(..)")
    }
}

/// A server between KE2 and KE3.
pub struct ServerLogin(opaque_ke::ServerLogin<Suite>);

impl ServerLogin {
    /// The state, and KE2. For an unknown name `credential` is a decoy and `record` is `None`; message,
    /// size and work are the same.
    pub fn start(
        rng: &mut Rng,
        setup: &ServerSetup,
        name: &[u8],
        credential: &[u8; CREDENTIAL_BYTES],
        record: Option<&[u8; RECORD_BYTES]>,
        context: &[u8],
        ke1: &[u8; KE1_BYTES],
    ) -> Result<(Self, [u8; KE2_BYTES]), OpaqueFailed> {
        let ke1 = CredentialRequest::deserialize(ke1).map_err(|_| OpaqueFailed)?;
        // Decoding a record costs microseconds that an unknown name would save: decode a decoy then.
        let decoded = match record {
            Some(record) => ServerRegistration::<Suite>::deserialize(record).map(Some),
            None => ServerRegistration::<Suite>::deserialize(&decoy_record()).map(|_| None),
        };
        let started = opaque_ke::ServerLogin::start(
            rng,
            &setup.0,
            decoded.map_err(|_| OpaqueFailed)?,
            ke1,
            credential,
            ServerLoginParameters { context: Some(context), identifiers: identifiers(name) },
        );
        let started = started.map_err(|_| OpaqueFailed)?;
        Ok((Self(started.state), array(&started.message.serialize())?))
    }

    /// The session key, if KE3 proves the password and both ends have the same `context`.
    pub fn finish(
        self,
        name: &[u8],
        context: &[u8],
        ke3: &[u8; KE3_BYTES],
    ) -> Result<Secret<64>, OpaqueFailed> {
        let ke3 = CredentialFinalization::deserialize(ke3).map_err(|_| OpaqueFailed)?;
        let params =
            ServerLoginParameters { context: Some(context), identifiers: identifiers(name) };
        let done = self.0.finish(ke3, params).map_err(|_| OpaqueFailed)?;
        secret(Zeroizing::new(done.session_key.to_vec()))
    }
}

impl fmt::Debug for ServerLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerLogin(..)")
    }
}

/// A record that decodes like any other: the ristretto255 base point, then bytes without meaning.
fn decoy_record() -> [u8; RECORD_BYTES] {
    const BASE_POINT: [u8; 32] = [
        0xe2, 0xf2, 0xae, 0x0a, 0x6a, 0xbc, 0x4e, 0x71, 0xa8, 0x84, 0xa9, 0x61, 0xc5, 0x00, 0x51,
        0x5f, 0x58, 0xe3, 0x0b, 0x6a, 0xa5, 0x82, 0xdd, 0x8d, 0xb6, 0xa6, 0x59, 0x45, 0xe0, 0x8d,
        0x2d, 0x76,
    ];
    let mut record = [0x55; RECORD_BYTES];
    record[..BASE_POINT.len()].copy_from_slice(&BASE_POINT);
    record
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], OpaqueFailed> {
    bytes.try_into().map_err(|_| OpaqueFailed)
}

fn secret(bytes: Zeroizing<Vec<u8>>) -> Result<Secret<64>, OpaqueFailed> {
    Secret::from_slice(&bytes).ok_or(OpaqueFailed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: &[u8] = b"a password";
    const CREDENTIAL: [u8; CREDENTIAL_BYTES] = [0xc7; CREDENTIAL_BYTES];

    struct World {
        rng: Rng,
        setup: ServerSetup,
        record: [u8; RECORD_BYTES],
        export_key: Secret<64>,
    }

    fn registered() -> World {
        let mut rng = Rng::from_seed(Secret::new([1; 32]));
        let setup = ServerSetup::generate(&mut rng);
        let (client, request) = ClientRegistration::start(&mut rng, PASSWORD).unwrap();
        let response = answer_registration(&setup, &CREDENTIAL, &request).unwrap();
        let (record, keys) =
            client.finish(&mut rng, b"alice", PASSWORD, &response, Stretching::TRIVIAL).unwrap();
        assert!(is_record(&record));
        World { rng, setup, record, export_key: keys.export_key }
    }

    /// Runs a login and says whether the client and then the server believed it.
    fn login(world: &mut World, record: bool, password: &[u8], contexts: [&[u8]; 2]) -> [bool; 2] {
        let World { rng, setup, record: stored, export_key } = world;
        let (client, ke1) = ClientLogin::start(rng, password).unwrap();
        let record = record.then_some(&*stored);
        let (server, ke2) =
            ServerLogin::start(rng, setup, b"alice", &CREDENTIAL, record, contexts[1], &ke1)
                .unwrap();
        let finished =
            client.finish(rng, b"alice", password, contexts[0], &ke2, Stretching::TRIVIAL);
        let Ok((ke3, keys)) = finished else {
            return [false, server.finish(b"alice", contexts[1], &[0; KE3_BYTES]).is_ok()];
        };
        let session_key = server.finish(b"alice", contexts[1], &ke3).unwrap();
        assert!(keys.session_key.unwrap().matches(session_key.expose()));
        assert!(keys.export_key.matches(export_key.expose()));
        [true, true]
    }

    #[test]
    fn only_the_right_password_on_the_same_channel_logs_in() {
        let mut world = registered();
        assert_eq!(login(&mut world, true, PASSWORD, [b"c", b"c"]), [true, true]);
        assert_eq!(login(&mut world, true, b"another", [b"c", b"c"]), [false, false]);
        assert_eq!(login(&mut world, true, PASSWORD, [b"c", b"d"]), [false, false]);
        assert_eq!(login(&mut world, false, PASSWORD, [b"c", b"c"]), [false, false]);
    }

    #[test]
    fn an_answer_under_another_credential_opens_no_account() {
        let World { mut rng, setup, record, .. } = registered();
        // What a guesser could have answered uncounted, if there were a way to.
        let mut opens = |credential: &[u8; CREDENTIAL_BYTES]| {
            let (client, ke1) = ClientLogin::start(&mut rng, PASSWORD).unwrap();
            let started = ServerLogin::start(
                &mut rng,
                &setup,
                b"alice",
                &CREDENTIAL,
                Some(&record),
                b"c",
                &ke1,
            );
            let (_, mut ke2) = started.unwrap();
            let request = ke1[..REGISTRATION_REQUEST_BYTES].try_into().unwrap();
            let answered = answer_registration(&setup, credential, &request).unwrap();
            ke2[..32].copy_from_slice(&answered[..32]);
            client.finish(&mut rng, b"alice", PASSWORD, b"c", &ke2, Stretching::TRIVIAL).is_ok()
        };
        assert!(opens(&CREDENTIAL), "both are the same function of the password");
        assert!(!opens(&[0; CREDENTIAL_BYTES]));
        assert!(!opens(&decoy_credential(&Secret::new([1; 32]), b"alice")));
    }

    #[test]
    fn the_decoy_record_decodes_like_a_real_one() {
        assert!(is_record(&decoy_record()));
    }

    #[test]
    fn the_setup_survives_being_written_down() {
        let mut world = registered();
        let bytes = world.setup.to_secret().unwrap();
        world.setup = ServerSetup::from_secret(&bytes).unwrap();
        assert_eq!(login(&mut world, true, PASSWORD, [b"c", b"c"]), [true, true]);
    }

    /// How often each bit of KE2 is set in many answers to the same KE1.
    fn bits_set(answers: usize, mut answer: impl FnMut() -> [u8; KE2_BYTES]) -> Vec<usize> {
        let mut set = vec![0; 8 * KE2_BYTES];
        for _ in 0..answers {
            let ke2 = answer();
            for (at, count) in set.iter_mut().enumerate() {
                *count += usize::from(ke2[at / 8] >> (at % 8) & 1);
            }
        }
        set
    }

    #[test]
    fn answers_for_names_that_nobody_has_or_may_log_in_with_are_distributed_like_any_other() {
        const ANSWERS: usize = 400;
        let World { mut rng, setup, record, .. } = registered();
        let decoy = decoy_credential(&Secret::new([1; 32]), b"alice");
        let (_, ke1) = ClientLogin::start(&mut rng, PASSWORD).unwrap();
        // Whoever is disabled or deleted keeps the identifier, and their record is not looked at.
        let [known, unknown, gone] =
            [(&CREDENTIAL, Some(&record)), (&decoy, None), (&CREDENTIAL, None)].map(
                |(id, record)| {
                    bits_set(ANSWERS, || {
                        let started =
                            ServerLogin::start(&mut rng, &setup, b"alice", id, record, b"c", &ke1);
                        started.unwrap().1
                    })
                },
            );
        // The first 32 bytes are the same in every answer to this KE1, and of no account in particular; what
        // follows is drawn for each.
        let drawn = 8 * 32..8 * KE2_BYTES;
        let pairs = known.iter().zip(&unknown).chain(known.iter().zip(&gone));
        for (at, (known, other)) in (0..8 * KE2_BYTES).cycle().zip(pairs) {
            let is_fixed = |count: usize| count == 0 || count == ANSWERS;
            assert_eq!(is_fixed(*known), is_fixed(*other), "bit {at}: {known} and {other}");
            // The difference of two counts of fair coins deviates by about 14; by 7 times that in one of
            // 10^11 cases. The encodings of group elements have bits that are always zero in both.
            let differs = drawn.contains(&at) && known.abs_diff(*other) > 7 * 15;
            assert!(!differs, "bit {at}: {known} and {other}");
        }
    }
}
