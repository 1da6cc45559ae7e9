//! Every byte of every message of a registration and a login is needed as it was said: whoever changes one on
//! the way gets no login, or one whose next use fails.

use std::net::SocketAddr;

use crate::{
    crypto::{
        opaque::{ClientKeys, ClientLogin, ClientRegistration, KE2_BYTES, KE3_BYTES, Stretching},
        rng::Rng,
        secret::Secret,
        sign::SignKey,
    },
    identity::Identity,
    login::Channel,
    vault::{Vault, VaultKey},
    wire::{
        self,
        server::{Refusal, Reply, Request, SessionId},
    },
    world::{World, name},
};

const PASSWORD: &[u8] = b"the password of alice";

/// What is done to a byte.
const CHANGES: [u8; 3] = [0x01, 0x80, 0xff];

/// A machine that makes an account and logs in to it as an honest client does.
struct Client {
    rng: Rng,
    channel: Channel,
    link: u64,
}

/// A login as far as KE1 is answered.
struct Asked {
    client: ClientLogin,
    ke2: Vec<u8>,
}

impl Client {
    /// On a new connection. The same seed is the same client.
    fn dials(world: &mut World, seed: u8) -> Self {
        let (link, channel) = world.dial_server(SocketAddr::from(([192, 0, 2, 90], 1)));
        Self { rng: Rng::from_seed(Secret::new([seed; 32])), channel, link }
    }

    /// Says KE1, as it was changed on the way. Without an answer there is no login.
    fn asks(&mut self, world: &mut World, change: impl Fn(&mut Vec<u8>)) -> Option<Asked> {
        let (client, ke1) = ClientLogin::start(&mut self.rng, PASSWORD).unwrap();
        let mut body = wire::encode(&Request::Login { name: name("alice"), ke1 });
        change(&mut body);
        let reply = world.ask_bytes(self.link, &body).into_iter().next()?;
        Some(Asked { client, ke2: wire::encode(&reply) })
    }

    /// What the client makes of KE2.
    fn proves(&mut self, asked: Asked) -> Option<([u8; KE3_BYTES], ClientKeys)> {
        let Ok(Reply::Login { ke2 }) = wire::decode(&asked.ke2) else { return None };
        let context = self.channel.login_context();
        let trivial = Stretching::TRIVIAL;
        asked.client.finish(&mut self.rng, b"alice", PASSWORD, &context, &ke2, trivial).ok()
    }

    /// Says KE3, as it was changed on the way: the body of the welcome.
    fn is_welcomed(
        &self,
        world: &mut World,
        request: &Request,
        change: impl Fn(&mut Vec<u8>),
    ) -> Option<Vec<u8>> {
        let mut body = wire::encode(request);
        change(&mut body);
        let reply = world.ask_bytes(self.link, &body).into_iter().next()?;
        matches!(reply, Reply::Welcome { .. }).then(|| wire::encode(&reply))
    }
}

/// What a client makes of a welcome: the session, if the vault and the entry are its own.
fn believes(keys: &ClientKeys, me: &Identity, body: &[u8]) -> Option<SessionId> {
    let Ok(Reply::Welcome { session, entry, vault, envelope, .. }) = wire::decode(body) else {
        return None;
    };
    let key = VaultKey::from_proof(&keys.export_key, &name("alice"), envelope.as_ref()).ok()?;
    let (_, vault) = key.open(&name("alice"), &vault).ok()?;
    let identity = Identity::from_seed(vault.seed).public();
    let own = identity == me.public() && entry.verified(&name("alice")) == Some(identity);
    own.then_some(session)
}

/// Whether a device could go on with a session.
fn resumes(world: &mut World, device: &SignKey, session: SessionId) -> bool {
    let Client { channel, link, .. } = Client::dials(world, 9);
    let signature = channel.sign_resumption(device, &session);
    match world.ask(link, &Request::Resume { session, signature }) {
        Reply::Welcome { .. } => true,
        Reply::Refused { why: Refusal::AuthFailed, .. } => false,
        other => panic!("{other:?}"),
    }
}

/// Every way to change one of so many bytes.
fn changes(bytes: usize) -> impl Iterator<Item = (usize, u8)> {
    (0..bytes).flat_map(|at| CHANGES.map(|change| (at, change)))
}

fn device() -> SignKey {
    SignKey::from_secret(&Secret::new([7; 32]))
}

fn finish(ke3: [u8; KE3_BYTES]) -> Request {
    Request::FinishLogin { ke3, device: device().public().0 }
}

fn world() -> (World, Identity) {
    let mut world = World::of(40, &["alice", "alicf"]);
    let seed = world.machine("alice").keys.seed.duplicate();
    (world, Identity::from_seed(seed))
}

#[test]
fn an_untouched_login_is_a_login() {
    let (mut world, me) = world();
    let mut client = Client::dials(&mut world, 1);
    let asked = client.asks(&mut world, |_| {}).unwrap();
    let (ke3, keys) = client.proves(asked).unwrap();
    let welcome = client.is_welcomed(&mut world, &finish(ke3), |_| {}).unwrap();
    let session = believes(&keys, &me, &welcome).unwrap();
    assert!(resumes(&mut world, &device(), session));
}

#[test]
fn no_byte_of_ke1_can_be_changed() {
    let (mut world, _) = world();
    let bytes = wire::encode(&Request::Login { name: name("alice"), ke1: [0; 96] }).len();
    for (at, change) in changes(bytes) {
        let mut client = Client::dials(&mut world, 1);
        let asked = client.asks(&mut world, |body| body[at] ^= change);
        let proven = asked.and_then(|asked| client.proves(asked));
        assert!(proven.is_none(), "byte {at} ^ {change:#x}");
    }
}

#[test]
fn no_byte_of_ke2_can_be_changed() {
    let (mut world, _) = world();
    let mut client = Client::dials(&mut world, 1);
    let Asked { ke2, .. } = client.asks(&mut world, |_| {}).unwrap();
    assert!(ke2.len() > KE2_BYTES);
    for (at, change) in changes(ke2.len()) {
        // The same client as before, whose answer was changed on the way.
        client.rng = Rng::from_seed(Secret::new([1; 32]));
        let (again, _) = ClientLogin::start(&mut client.rng, PASSWORD).unwrap();
        let mut ke2 = ke2.clone();
        ke2[at] ^= change;
        let proven = client.proves(Asked { client: again, ke2 });
        assert!(proven.is_none(), "byte {at} ^ {change:#x}");
    }
}

#[test]
fn no_byte_of_ke3_can_be_changed_and_another_device_is_not_this_one() {
    let (mut world, me) = world();
    let bytes = wire::encode(&finish([0; KE3_BYTES])).len();
    let mut other_devices = 0;
    for (at, change) in changes(bytes) {
        let mut client = Client::dials(&mut world, 1);
        let asked = client.asks(&mut world, |_| {}).unwrap();
        let (ke3, keys) = client.proves(asked).unwrap();
        let welcome = client.is_welcomed(&mut world, &finish(ke3), |body| body[at] ^= change);
        if let Some(session) = welcome.and_then(|welcome| believes(&keys, &me, &welcome)) {
            other_devices += 1;
            assert!(!resumes(&mut world, &device(), session), "byte {at} ^ {change:#x}");
        }
    }
    assert_eq!(other_devices, 32 * CHANGES.len(), "the key of the device, and nothing else");
}

#[test]
fn no_byte_of_a_welcome_can_be_changed_and_another_session_is_not_this_one() {
    let (mut world, me) = world();
    let mut client = Client::dials(&mut world, 1);
    let asked = client.asks(&mut world, |_| {}).unwrap();
    let (ke3, keys) = client.proves(asked).unwrap();
    let welcome = client.is_welcomed(&mut world, &finish(ke3), |_| {}).unwrap();
    let mut other_sessions = 0;
    for (at, change) in changes(welcome.len()) {
        let mut changed = welcome.clone();
        changed[at] ^= change;
        if let Some(session) = believes(&keys, &me, &changed) {
            other_sessions += 1;
            assert!(!resumes(&mut world, &device(), session), "byte {at} ^ {change:#x}");
        }
    }
    assert_eq!(other_sessions, 16 * CHANGES.len(), "the session's id, and nothing else");
}

#[test]
fn a_byte_of_a_registration_that_was_changed_shows_at_the_next_login() {
    /// How many bytes of the vault are passed over: it is the same cipher all along.
    const STEP: usize = 61;
    let lengths = registers(|_, _| {}).1;
    for (frame, bytes) in lengths.into_iter().enumerate() {
        let step = if frame == 2 { STEP } else { 1 };
        for at in (0..bytes).step_by(step) {
            let change = CHANGES[at % CHANGES.len()];
            let (usable, _) = registers(|this, body| {
                if this == frame {
                    body[at] ^= change;
                }
            });
            assert!(!usable, "frame {frame}, byte {at} ^ {change:#x}");
        }
    }
    assert!(registers(|_, _| {}).0);
}

/// Registers alice, with a hand on every frame: whether the account can be logged in to and the device that made
/// it goes on, and how long each frame was.
fn registers(change: impl Fn(usize, &mut Vec<u8>)) -> (bool, Vec<usize>) {
    let mut world = World::new(41);
    let mut lengths = Vec::new();
    let usable = try_to_register(&mut world, |frame, body| {
        lengths.push(body.len());
        change(frame, body);
    });
    let usable = usable.is_some_and(|(me, session)| {
        let mut client = Client::dials(&mut world, 2);
        let asked = client.asks(&mut world, |_| {});
        let proven = asked.and_then(|asked| client.proves(asked));
        proven.is_some_and(|(ke3, keys)| {
            // The login parks the session of the registration.
            let goes_on = resumes(&mut world, &device(), session);
            let welcome = client.is_welcomed(&mut world, &finish(ke3), |_| {});
            let comes_back = welcome.and_then(|welcome| believes(&keys, &me, &welcome));
            goes_on && comes_back.is_some()
        })
    });
    (usable, lengths)
}

fn try_to_register(
    world: &mut World,
    mut change: impl FnMut(usize, &mut Vec<u8>),
) -> Option<(Identity, SessionId)> {
    let mut client = Client::dials(world, 3);
    let (state, request) = ClientRegistration::start(&mut client.rng, PASSWORD).unwrap();
    let mut register = wire::encode(&Request::Register { name: name("alice"), request });
    change(0, &mut register);
    let mut reply = wire::encode(&world.ask_bytes(client.link, &register).into_iter().next()?);
    change(1, &mut reply);
    let Ok(Reply::Registration { response }) = wire::decode(&reply) else { return None };
    let rng = &mut client.rng;
    let finished = state.finish(rng, b"alice", PASSWORD, &response, Stretching::TRIVIAL);
    let (record, keys) = finished.ok()?;
    let me = Identity::from_seed(rng.secret());
    let (seed, contacts) = (me.seed().duplicate(), Vec::new());
    let vault = Vault { seed, server_pin: client.channel.pin.to_string(), contacts };
    let key = VaultKey::from_export_key(&keys.export_key, &name("alice"));
    let vault = key.seal(rng, &name("alice"), 1, &vault).unwrap();
    let (entry, device) = (me.entry(&name("alice")), device().public().0);
    let finish = Request::FinishRegistration { record, vault, entry, device, invite: None };
    let mut finish = wire::encode(&finish);
    change(2, &mut finish);
    let reply = world.ask_bytes(client.link, &finish).into_iter().next()?;
    let Reply::Welcome { session, .. } = reply else { return None };
    Some((me, session))
}
