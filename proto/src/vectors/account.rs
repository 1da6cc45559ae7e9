//! Vectors of what passes between a client and the server.

use super::{Page, alice, bob, name, pin, rng};
use crate::{
    crypto::{
        derive::derive,
        label::Label,
        opaque::{
            CREDENTIAL_BYTES, ClientKeys, ClientLogin, ClientRegistration, RECORD_BYTES,
            ServerLogin, ServerSetup, Stretching, answer_registration, decoy_credential,
            decoy_recovery_credential,
        },
        secret::Secret,
        sign::SignKey,
    },
    identity::{Entry, PublicIdentity, safety_number},
    login::Channel,
    note::{self, NoteKind},
    reach::Policy,
    recovery::RecoveryCode,
    vault::{Contact, Standing, Vault, VaultKey},
    wire,
};

const PASSWORD: &[u8] = b"correct horse battery staple";
const CREDENTIAL: [u8; CREDENTIAL_BYTES] = [0xc7; CREDENTIAL_BYTES];
const TRIVIAL: Stretching = Stretching::TRIVIAL;

fn channel() -> Channel {
    Channel { exporter: [0xe0; 32], pin: pin() }
}

fn registered(page: &mut Page) -> (ServerSetup, [u8; RECORD_BYTES], ClientKeys) {
    let (name, _) = alice();
    let setup = ServerSetup::generate(&mut rng(1));
    let (client, request) = ClientRegistration::start(&mut rng(2), PASSWORD).unwrap();
    let response = answer_registration(&setup, &CREDENTIAL, &request).unwrap();
    let (record, keys) =
        client.finish(&mut rng(3), name.as_bytes(), PASSWORD, &response, TRIVIAL).unwrap();
    page.text("name", name.as_str());
    page.bytes("password", PASSWORD);
    page.number("stretching_memory_kib", 8);
    page.number("stretching_passes", 1);
    page.bytes("server_setup", setup.to_secret().unwrap().expose());
    page.bytes("credential_identifier", &CREDENTIAL);
    page.bytes("client_blind_uniform", &rng(2).bytes::<64>());
    page.bytes("request", &request);
    page.bytes("response", &response);
    page.bytes("record", &record);
    page.bytes("export_key", keys.export_key.expose());
    (setup, record, keys)
}

#[test]
fn registrations_are_what_they_were() {
    let mut page = Page::new("OPAQUE registration. The blind is 64 uniform bytes, reduced.");
    registered(&mut page);
    page.matches("registration.txt", include_str!("../../vectors/registration.txt"));
}

#[test]
fn logins_are_what_they_were() {
    let mut page = Page::new("OPAQUE login to the account of registration.txt.");
    let (setup, record, _) = registered(&mut Page::new(""));
    let (name, _) = alice();
    let (name, context) = (name.as_bytes(), channel().login_context());
    let (client, ke1) = ClientLogin::start(&mut rng(4), PASSWORD).unwrap();
    let record = Some(&record);
    let started =
        ServerLogin::start(&mut rng(5), &setup, name, &CREDENTIAL, record, &context, &ke1);
    let (server, ke2) = started.unwrap();
    let (ke3, keys) = client.finish(&mut rng(6), name, PASSWORD, &context, &ke2, TRIVIAL).unwrap();
    let session_key = server.finish(name, &context, &ke3).unwrap();
    assert!(keys.session_key.unwrap().matches(session_key.expose()));
    let mut draws = rng(4);
    page.bytes("exporter", &channel().exporter);
    page.text("server_pin", channel().pin.as_str());
    page.bytes("context", &context);
    page.bytes("client_blind_uniform", &draws.bytes::<64>());
    page.bytes("client_keyshare_seed", &draws.bytes::<32>());
    let client_nonce: [u8; 32] = draws.bytes();
    assert_eq!(ke1[32..64], client_nonce);
    page.bytes("client_nonce", &client_nonce);
    page.bytes("ke1", &ke1);
    // The server first draws the masking key of the record that it would use for an unknown name.
    let mut draws = rng(5);
    let _: [u8; 64] = draws.bytes();
    let masking_nonce: [u8; 32] = draws.bytes();
    assert_eq!(ke2[32..64], masking_nonce);
    page.bytes("masking_nonce", &masking_nonce);
    page.bytes("server_keyshare_seed", &draws.bytes::<32>());
    let server_nonce: [u8; 32] = draws.bytes();
    assert_eq!(ke2[192..224], server_nonce);
    page.bytes("server_nonce", &server_nonce);
    page.bytes("ke2", &ke2);
    page.bytes("ke3", &ke3);
    page.bytes("opaque_session_key", session_key.expose());
    page.bytes("export_key", keys.export_key.expose());
    page.bytes("decoy_secret", &[0xdc; 32]);
    page.text("decoy_name", "nobody");
    let decoy = decoy_credential(&Secret::new([0xdc; 32]), b"nobody");
    page.bytes("decoy_credential_identifier", &decoy);
    page.matches("login.txt", include_str!("../../vectors/login.txt"));
}

#[test]
fn session_keys_and_proofs_are_what_they_were() {
    let mut page = Page::new("The session key, the logout exchange and a resumption.");
    let (session, opaque_key) = ([0x1d; 16], Secret::new([0x0b; 64]));
    let channel = channel();
    let derived: Secret<32> =
        derive(&channel.exporter, opaque_key.expose(), Label::ServerSession, &session);
    page.bytes("exporter", &channel.exporter);
    page.bytes("session", &session);
    page.bytes("opaque_session_key", opaque_key.expose());
    page.bytes("session_key", derived.expose());
    let key = channel.session_key(&session, Some(&opaque_key));
    let (client, server) = ([0xc1; 32], [0x5e; 32]);
    page.bytes("client_challenge", &client);
    page.bytes("server_challenge", &server);
    let proof = |label| key.logout_proof(label, &client, &server);
    page.bytes("server_proof", proof(Label::LogoutServer).expose());
    page.bytes("client_proof", proof(Label::LogoutClient).expose());
    let key = channel.session_key(&session, None);
    let proof = key.logout_proof(Label::LogoutClient, &client, &server);
    page.bytes("client_proof_after_resumption", proof.expose());
    let device = SignKey::from_secret(&Secret::new([0xde; 32]));
    page.bytes("device_seed", &[0xde; 32]);
    page.bytes("device_public", &device.public().0);
    page.bytes("resume_signature", &channel.sign_resumption(&device, &session));
    page.matches("session.txt", include_str!("../../vectors/session.txt"));
}

#[test]
fn entries_and_safety_numbers_are_what_they_were() {
    let mut page =
        Page::new("Identities, directory entries, a decoy, and the safety number of two.");
    for (whose, (name, identity)) in [("alice", alice()), ("bob", bob())] {
        let seed = identity.seed().expose();
        let secret = |label| -> Secret<32> { derive(&[], seed, label, &[]) };
        let public = identity.public();
        page.bytes(&format!("{whose}_seed"), seed);
        page.bytes(&format!("{whose}_sign_secret"), secret(Label::IdentitySign).expose());
        page.bytes(&format!("{whose}_sign"), &public.sign);
        page.bytes(&format!("{whose}_agree_secret"), secret(Label::IdentityAgree).expose());
        page.bytes(&format!("{whose}_agree"), &public.agree);
        page.bytes(&format!("{whose}_fingerprint"), &public.fingerprint());
        page.text(&format!("{whose}_fingerprint_letters"), &public.fingerprint_letters());
        page.bytes(&format!("{whose}_entry"), &wire::encode(&identity.entry(&name)));
    }
    let ((alice, a), (bob, b)) = (alice(), bob());
    page.text("safety_number", &safety_number((&alice, &a.public()), (&bob, &b.public())));
    page.bytes("decoy_secret", &[0xdc; 32]);
    page.text("decoy_name", "nobody");
    let decoy = Entry::decoy(&Secret::new([0xdc; 32]), &name("nobody"));
    page.bytes("decoy_entry", &wire::encode(&decoy));
    page.matches("entry.txt", include_str!("../../vectors/entry.txt"));
}

#[test]
fn vaults_are_what_they_were() {
    let mut page = Page::new("A vault, and the key of it.");
    let ((alice, identity), (bob, other)) = (alice(), bob());
    let contact = |name, identity: Option<PublicIdentity>, standing, blocked| Contact {
        name,
        verified: identity.is_some(),
        identity,
        standing,
        blocked,
        policy: Policy::default(),
    };
    let vault = Vault {
        seed: identity.seed().duplicate(),
        server_pin: pin().to_string(),
        contacts: vec![
            contact(bob, Some(other.public()), Standing::Accepted, false),
            contact(name("mallory"), None, Standing::Stranger, true),
        ],
    };
    let export_key = Secret::new([0xe7; 64]);
    let key = VaultKey::from_export_key(&export_key, &alice);
    let sealed = key.seal(&mut rng(7), &alice, 3, &vault).unwrap();
    assert_eq!(key.open(&alice, &sealed).unwrap().0, 3);
    page.text("name", alice.as_str());
    page.bytes("export_key", export_key.expose());
    page.bytes("vault_key", key.secret().expose());
    let commitment: Secret<32> = derive(&[], key.secret().expose(), Label::VaultCommitment, &[]);
    page.bytes("commitment", commitment.expose());
    page.number("counter", 3);
    page.bytes("nonce", &rng(7).bytes::<24>());
    page.bytes("contents", &wire::encode(&vault));
    page.bytes("vault", &sealed);
    let other = Secret::new([0x0e; 64]);
    let envelope = key.envelope(&mut rng(10), &other, &alice).unwrap();
    let opened = VaultKey::from_proof(&other, &alice, Some(&envelope)).unwrap();
    assert!(opened.secret().matches(key.secret().expose()));
    page.bytes("other_export_key", other.expose());
    page.bytes("envelope_nonce", &rng(10).bytes::<24>());
    page.bytes("envelope", &envelope);
    page.matches("vault.txt", include_str!("../../vectors/vault.txt"));
}

#[test]
fn recovery_codes_are_what_they_were() {
    let mut page = Page::new("A recovery code, the OPAQUE context, and the vault's key for it.");
    let (alice, _) = alice();
    let code = RecoveryCode::generate(&mut rng(11));
    assert_eq!(RecoveryCode::read(&code.to_text()).unwrap().to_password(), code.to_password());
    page.text("name", alice.as_str());
    page.bytes("code", &rng(11).bytes::<16>());
    page.text("code_text", &code.to_text());
    page.text("password", &code.to_password());
    page.bytes("exporter", &channel().exporter);
    page.text("server_pin", channel().pin.as_str());
    page.bytes("context", &channel().recovery_context());
    let export_key = Secret::new([0x2e; 64]);
    let key = VaultKey::from_secret(Secret::new([0x7a; 32]));
    let envelope = key.recovery_envelope(&mut rng(12), &export_key, &alice).unwrap();
    let opened = VaultKey::from_recovery(&export_key, &alice, &envelope).unwrap();
    assert!(opened.secret().matches(key.secret().expose()));
    page.bytes("export_key", export_key.expose());
    page.bytes("vault_key", key.secret().expose());
    page.bytes("envelope_nonce", &rng(12).bytes::<24>());
    page.bytes("envelope", &envelope);
    page.bytes("decoy_secret", &[0xdc; 32]);
    page.text("decoy_name", "nobody");
    let decoy = decoy_recovery_credential(&Secret::new([0xdc; 32]), b"nobody");
    page.bytes("decoy_credential_identifier", &decoy);
    page.matches("recovery.txt", include_str!("../../vectors/recovery.txt"));
}

#[test]
fn notes_are_what_they_were() {
    let mut page =
        Page::new("Contact notes from alice of entry.txt to bob of entry.txt, and back.");
    let ((alice, a), (bob, b)) = (alice(), bob());
    let mut draw = |key: &str, seed, from: (&_, &crate::identity::Identity), kind, to: (&_, &_)| {
        let entry = from.1.entry(from.0);
        let sealed = note::seal(&mut rng(seed), from.1, &entry, kind, to).unwrap();
        page.bytes(&format!("{key}_ephemeral_secret"), &rng(seed).bytes::<32>());
        page.bytes(key, &sealed);
        sealed
    };
    let request = draw("request", 8, (&alice, &a), NoteKind::Request, (&bob, &b.public()));
    let accept = draw("accept", 9, (&bob, &b), NoteKind::Accept, (&alice, &a.public()));
    assert_eq!(note::open(&b, &bob, NoteKind::Request, &alice, &request), Ok(a.public()));
    assert_eq!(note::open(&a, &alice, NoteKind::Accept, &bob, &accept), Ok(b.public()));
    page.matches("note.txt", include_str!("../../vectors/note.txt"));
}
