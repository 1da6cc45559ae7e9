//! OPAQUE, held against the test vectors of RFC 9807, appendix C.

use std::collections::BTreeMap;

use opaque_ke::{
    CipherSuite, ClientLogin, ClientLoginFinishParameters, ClientRegistration,
    ClientRegistrationFinishParameters, Identifiers, ServerLogin, ServerLoginParameters,
    ServerRegistration, ServerSetup, TripleDh, ksf,
};
use rand_core::{CryptoRng, Error, RngCore};

const VECTORS: &str = include_str!("../../vectors/rfc9807.txt");

/// The suite of the vectors: ours, without key stretching.
struct Suite;

impl CipherSuite for Suite {
    type OprfCs = opaque_ke::Ristretto255;
    type KeyExchange = TripleDh<opaque_ke::Ristretto255, sha2::Sha512>;
    type Ksf = ksf::Identity;
}

/// One of the vectors.
struct Vector(BTreeMap<&'static str, Vec<u8>>);

impl Vector {
    fn all() -> Vec<Self> {
        let vectors = VECTORS.split("# C.1.").skip(1);
        vectors
            .map(|lines| {
                let fields = lines.lines().skip(1).map(|line| line.split_once(" =").unwrap());
                Self(fields.map(|(key, hex)| (key, bytes(hex.trim()))).collect())
            })
            .collect()
    }

    #[track_caller]
    fn of(&self, key: &str) -> &[u8] {
        &self.0[key]
    }

    fn identifiers(&self) -> Identifiers<'_> {
        let identity = |key| Some(self.of(key)).filter(|identity| !identity.is_empty());
        Identifiers { client: identity("client_identity"), server: identity("server_identity") }
    }

    fn parameters(&self) -> ServerLoginParameters<'_, '_> {
        ServerLoginParameters { context: Some(self.of("context")), identifiers: self.identifiers() }
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

/// Randomness that was written down. There is no more of it than that.
struct Script(Vec<u8>);

impl Script {
    fn new(parts: &[&[u8]]) -> Self {
        Self(parts.concat())
    }
}

impl RngCore for Script {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        let rest = self.0.split_off(out.len());
        out.copy_from_slice(&self.0);
        self.0 = rest;
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl CryptoRng for Script {}

/// A scalar is drawn as twice its length and reduced, so that one below the order stays what it is.
const REST_OF_SCALAR: &[u8] = &[0; 32];

fn setup(vector: &Vector) -> ServerSetup<Suite> {
    let seed = vector.of("oprf_seed");
    let key = vector.of("server_private_key");
    // What stands in for the keys of names that nobody has is not part of the vectors.
    let dummy = &vector.of("registration_upload")[..32];
    ServerSetup::deserialize(&[seed, key, dummy].concat()).unwrap()
}

#[test]
fn a_registration_is_that_of_the_standard() {
    for vector in Vector::all() {
        let password = vector.of("password");
        let mut rng = Script::new(&[vector.of("blind_registration"), REST_OF_SCALAR]);
        let client = ClientRegistration::<Suite>::start(&mut rng, password).unwrap();
        assert_eq!(*client.message.serialize(), *vector.of("registration_request"));
        let server = ServerRegistration::start(
            &setup(&vector),
            client.message,
            vector.of("credential_identifier"),
        )
        .unwrap();
        assert_eq!(*server.message.serialize(), *vector.of("registration_response"));
        let parameters = ClientRegistrationFinishParameters::new(vector.identifiers(), None);
        let mut rng = Script::new(&[vector.of("envelope_nonce")]);
        let done = client.state.finish(&mut rng, password, server.message, parameters).unwrap();
        assert_eq!(*done.message.serialize(), *vector.of("registration_upload"));
        assert_eq!(*done.export_key, *vector.of("export_key"));
    }
}

#[test]
fn a_login_is_that_of_the_standard() {
    let vectors = Vector::all();
    assert_eq!(vectors.len(), 2);
    for vector in vectors {
        let password = vector.of("password");
        let mut rng = Script::new(&[
            vector.of("blind_login"),
            REST_OF_SCALAR,
            vector.of("client_keyshare_seed"),
            vector.of("client_nonce"),
        ]);
        let client = ClientLogin::<Suite>::start(&mut rng, password).unwrap();
        assert_eq!(*client.message.serialize(), *vector.of("ke1"));
        let record = ServerRegistration::deserialize(vector.of("registration_upload")).unwrap();
        // The record that stands in for an unknown name is made in every login, so that it costs the same.
        let unused_masking_key = [0; 64];
        let mut rng = Script::new(&[
            &unused_masking_key,
            vector.of("masking_nonce"),
            vector.of("server_keyshare_seed"),
            vector.of("server_nonce"),
        ]);
        let server = ServerLogin::start(
            &mut rng,
            &setup(&vector),
            Some(record),
            client.message,
            vector.of("credential_identifier"),
            vector.parameters(),
        )
        .unwrap();
        assert_eq!(*server.message.serialize(), *vector.of("ke2"));
        let context = Some(vector.of("context"));
        let parameters = ClientLoginFinishParameters::new(context, vector.identifiers(), None);
        let mut rng = Script::new(&[]);
        let done = client.state.finish(&mut rng, password, server.message, parameters).unwrap();
        assert_eq!(*done.message.serialize(), *vector.of("ke3"));
        assert_eq!(*done.export_key, *vector.of("export_key"));
        assert_eq!(*done.session_key, *vector.of("session_key"));
        let session_key = server.state.finish(done.message, vector.parameters()).unwrap();
        assert_eq!(*session_key.session_key, *vector.of("session_key"));
    }
}
