//! Decoders of what is sealed or signed, each with what an honest end has made and with what somebody made
//! who holds keys and does not keep to the rules.

use std::sync::LazyLock;

use super::{Script, name, rng, secret};
use crate::{
    crypto::{
        kem::{KEM_CIPHERTEXT_BYTES, KemKey, KemPublic},
        label::Label,
        opaque::{
            CREDENTIAL_BYTES, ClientLogin, ClientRegistration, RECORD_BYTES, ServerLogin,
            ServerSetup, Stretching, answer_registration, is_record,
        },
        seal::seal_at_rest,
    },
    handshake::{Agreed, ExpectSecond, Prologue, hear, initiate},
    identity::{Identity, length_prefixed},
    knock::{Knock, KnockKey},
    name::Name,
    noise::SymmetricState,
    note::{self, NoteKind},
    ticket::AttemptId,
    vault::{self, Vault, VaultKey},
    wire,
};

const PASSWORD: &[u8] = b"a password";
const CREDENTIAL: [u8; CREDENTIAL_BYTES] = [0xc7; CREDENTIAL_BYTES];
const CONTEXT: &[u8] = b"a connection";

/// A vault: changed on its way, or sealed by somebody who has the key and seals anything.
pub(super) fn vault(bytes: &[u8]) {
    let mut script = Script(bytes);
    let (alice, key) = (name("alice"), VaultKey::from_secret(secret(0x7a)));
    let empty = Vault { seed: secret(0xa1), server_pin: "PIN".into(), contacts: Vec::new() };
    let sealed = key.seal(&mut rng(1), &alice, 7, &empty).unwrap();
    let how = script.byte() & 3;
    if how & 1 == 0 {
        let changed = script.patched(&sealed);
        assert_eq!(vault::counter(&changed).is_some(), changed.len() >= 9);
        assert_eq!(key.open(&alice, &changed).is_ok(), changed == sealed);
        return;
    }
    let honest = *sealed.first_chunk::<41>().unwrap();
    let header = if how == 1 { honest } else { script.patched_array(&honest) };
    let associated = [&header[..], &length_prefixed(alice.as_bytes())].concat();
    let inside = seal_at_rest(&mut rng(2), key.secret(), &associated, script.rest());
    let bytes = [&header[..], &inside].concat();
    let Ok((counter, vault)) = key.open(&alice, &bytes) else { return };
    assert_eq!(Some(counter), vault::counter(&bytes));
    // The counter is whoever's who seals; the version and what commits to the key are not.
    assert_eq!((header[0], &header[9..]), (honest[0], &honest[9..]));
    let sealed = key.seal(&mut rng(3), &alice, 8, &vault).unwrap();
    let (counter, again) = key.open(&alice, &sealed).unwrap();
    assert_eq!((counter, &again.server_pin), (8, &vault.server_pin));
    assert_eq!(again.contacts, vault.contacts);
    assert!(again.seed.matches(vault.seed.expose()));
}

/// A contact note: changed on its way, or sealed by somebody who puts anything into it.
pub(super) fn note(bytes: &[u8]) {
    let mut script = Script(bytes);
    let [alice, carol, eve] = [0xa1, 0xca, 0xee].map(|seed| Identity::from_seed(secret(seed)));
    let (a, c) = (name("alice"), name("carol"));
    let to = (&a, &alice.public());
    let kind = if script.byte() & 1 == 0 { NoteKind::Request } else { NoteKind::Accept };
    let how = script.byte() & 3;
    if how & 1 == 0 {
        let honest = note::seal(&mut rng(4), &carol, &carol.entry(&c), kind, to).unwrap();
        let changed = script.patched(&honest);
        let opened = note::open(&alice, &a, kind, &c, &changed).ok();
        assert_eq!(opened, (changed == honest).then(|| carol.public()));
        return;
    }
    let sealer = if how == 1 { carol } else { eve };
    let prologue = [
        Label::Note.as_bytes(),
        &[kind as u8],
        &length_prefixed(c.as_bytes()),
        &length_prefixed(a.as_bytes()),
    ];
    let mut state = SymmetricState::new(b"Noise_X_25519_ChaChaPoly_SHA256", &prologue.concat());
    let them = alice.agree().public();
    state.mix_hash(&them.0);
    let ephemeral = crate::crypto::agree::AgreeKey::generate(&mut rng(5));
    let mut note = ephemeral.public().0.to_vec();
    state.mix_hash(&note);
    state.mix_agreement(&ephemeral, them).unwrap();
    state.seal(&sealer.agree().public().0, &mut note);
    state.mix_agreement(sealer.agree(), them).unwrap();
    let payload = script.rest();
    state.seal(payload, &mut note);
    // Whoever a note is said to be from holds the key that it was sealed with, and has signed as much.
    let opened = note::open(&alice, &a, kind, &c, &note).ok();
    let own = wire::decode(payload).ok() == Some(sealer.entry(&c));
    assert_eq!(opened, own.then(|| sealer.public()));
}

/// The first and the second handshake message, changed on their way.
pub(super) fn handshake(bytes: &[u8]) {
    let mut script = Script(bytes);
    let people = Pair::new();
    let (expected, first) = people.initiate();
    let heard = |first: &[u8]| {
        let them = people.alice.public().agree();
        hear(people.bob.agree(), them, &people.prologue(), first)
    };
    if script.byte() & 1 == 0 {
        let changed = script.patched(&first);
        assert_eq!(heard(&changed).is_ok(), changed == first);
        return;
    }
    let (_, second) = heard(&first).unwrap().answer(&mut rng(12), &secret(0x75)).unwrap();
    let changed = script.patched(&second);
    let finished = expected.finish(people.alice.agree(), &secret(0x75), &changed);
    assert_eq!(finished.is_ok(), changed == second);
}

/// Public keys and ciphertexts of the key encapsulation, as an authenticated peer may choose them.
pub(super) fn kem(bytes: &[u8]) {
    let mut script = Script(bytes);
    let (key, public) = KemKey::generate(&mut rng(6));
    let (ciphertext, sent) = KemPublic::from_bytes(&public).unwrap().encapsulate(&mut rng(7));
    if script.byte() & 1 == 0 {
        let changed = script.patched(&public);
        if let Some(key) = KemPublic::from_bytes(&changed) {
            let (ciphertext, _) = key.encapsulate(&mut rng(7));
            assert_eq!((changed.len(), ciphertext.len()), (public.len(), KEM_CIPHERTEXT_BYTES));
        }
        return;
    }
    let changed = script.patched(&ciphertext);
    let received = key.decapsulate(&changed);
    assert_eq!(received.is_some(), changed.len() == KEM_CIPHERTEXT_BYTES);
    let same = received.is_some_and(|received| received.matches(sent.expose()));
    assert_eq!(same, changed == ciphertext);
}

/// A knock, changed on its way.
pub(super) fn knock(bytes: &[u8]) {
    let key = KnockKey(secret(0x6b));
    let honest = key.knock(&mut rng(8));
    let changed = Script(bytes).patched(&honest.0);
    if let Ok(changed) = changed.try_into() {
        assert_eq!(key.admits(&Knock(changed)), changed == honest.0);
    }
}

/// OPAQUE's messages, changed on their way: registration, then login.
pub(super) fn opaque(bytes: &[u8]) {
    let mut script = Script(bytes);
    let setup = ServerSetup::generate(&mut rng(20));
    let (client, request) = ClientRegistration::start(&mut rng(21), PASSWORD).unwrap();
    let which = script.byte() % 6;
    if which == 0 {
        // Any element of the group may be asked for.
        let _ = answer_registration(&setup, &CREDENTIAL, &script.patched_array(&request));
        return;
    }
    let response = answer_registration(&setup, &CREDENTIAL, &request).unwrap();
    let register =
        |response| client.finish(&mut rng(22), b"alice", PASSWORD, response, Stretching::TRIVIAL);
    if which == 1 {
        if let Ok((record, _)) = register(&script.patched_array(&response)) {
            assert!(is_record(&record));
        }
        return;
    }
    let (record, _) = register(&response).unwrap();
    log_in(script, which, &setup, &record);
}

fn log_in(mut script: Script<'_>, which: u8, setup: &ServerSetup, record: &[u8; RECORD_BYTES]) {
    let (client, ke1) = ClientLogin::start(&mut rng(23), PASSWORD).unwrap();
    let start = |record, ke1| {
        let record = Some(record);
        ServerLogin::start(&mut rng(24), setup, b"alice", &CREDENTIAL, record, CONTEXT, ke1)
    };
    match which {
        2 => {
            let changed = script.patched_array(record);
            // A server that keeps a record can answer logins from it.
            assert_eq!(start(&changed, &ke1).is_ok(), is_record(&changed));
        }
        3 => {
            let _ = start(record, &script.patched_array(&ke1));
        }
        _ => {
            let (server, ke2) = start(record, &ke1).unwrap();
            let finish = |ke2| {
                let trivial = Stretching::TRIVIAL;
                client.finish(&mut rng(25), b"alice", PASSWORD, CONTEXT, ke2, trivial)
            };
            if which == 4 {
                let changed = script.patched_array(&ke2);
                assert_eq!(finish(&changed).is_ok(), changed == ke2);
            } else {
                let (ke3, _) = finish(&ke2).unwrap();
                let changed = script.patched_array(&ke3);
                assert_eq!(server.finish(b"alice", CONTEXT, &changed).is_ok(), changed == ke3);
            }
        }
    }
}

/// Both ends of an agreement, the caller's first. It takes the time of a hundred frames, so it is made once.
pub(super) static AGREED: LazyLock<(Agreed, Agreed)> = LazyLock::new(|| {
    let people = Pair::new();
    let (expected, first) = people.initiate();
    let them = people.alice.public().agree();
    let heard = hear(people.bob.agree(), them, &people.prologue(), &first).unwrap();
    let (callee, second) = heard.answer(&mut rng(12), &secret(0x75)).unwrap();
    (expected.finish(people.alice.agree(), &secret(0x75), &second).unwrap(), callee)
});

/// Two people in the middle of a handshake; alice is the one who asks.
struct Pair {
    alice: Identity,
    bob: Identity,
    names: [Name; 2],
}

impl Pair {
    fn new() -> Self {
        let [alice, bob] = [0xa1, 0xb0].map(|seed| Identity::from_seed(secret(seed)));
        Self { alice, bob, names: ["alice", "bob"].map(name) }
    }

    fn initiate(&self) -> (ExpectSecond, Vec<u8>) {
        let them = self.bob.public().agree();
        initiate(&mut rng(11), self.alice.agree(), them, &self.prologue()).unwrap()
    }

    fn prologue(&self) -> Prologue<'_> {
        Prologue {
            attempt: AttemptId([0xa7; 16]),
            caller: &self.names[0],
            callee: &self.names[1],
            caller_certificate: &[0xca; 32],
        }
    }
}
