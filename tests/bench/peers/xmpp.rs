//! As much of an XMPP client as logs in: RFC 6120 over TLS from the first byte, SCRAM-SHA-256 of RFC 7677.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, OnceLock},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hither_proto::crypto::derive::{authenticate, hash};
use hither_tests::wire::trusting_tls;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

const HOST: &str = "localhost";

type Sha256 = [u8; 32];

/// What all clients of a server share: their TLS, and the password that all accounts have.
#[derive(Debug)]
pub(super) struct Logins {
    tls: Arc<ClientConfig>,
    password: &'static str,
    /// The password, salted and stretched: clients keep it.
    salted: OnceLock<Sha256>,
}

/// A client that is logged in.
#[derive(Debug)]
pub(crate) struct Client {
    stream: StreamOwned<ClientConnection, TcpStream>,
    /// What came and was not looked at yet.
    rest: String,
}

impl Logins {
    pub(super) fn new(password: &'static str) -> Self {
        Self { tls: Arc::new(trusting_tls()), password, salted: OnceLock::new() }
    }

    #[track_caller]
    pub(super) fn log_in(&self, server: SocketAddr, name: &str) -> Client {
        let socket = TcpStream::connect(server).unwrap();
        socket.set_nodelay(true).unwrap();
        let host = HOST.try_into().unwrap();
        let tls = ClientConnection::new(self.tls.clone(), host).unwrap();
        let mut client = Client { stream: StreamOwned::new(tls, socket), rest: String::new() };
        client.opens();
        self.proves(&mut client, name);
        client.opens();
        let bind = "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
        client.says(bind);
        assert!(client.hears("</iq>").contains("<jid>"));
        client
    }

    #[track_caller]
    fn proves(&self, client: &mut Client, name: &str) {
        let mut nonce = [0; 18];
        getrandom::fill(&mut nonce).unwrap();
        let first = format!("n={name},r={}", BASE64_STANDARD.encode(nonce));
        let sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
        let opening = BASE64_STANDARD.encode(format!("n,,{first}"));
        client.says(&format!("<auth {sasl} mechanism='SCRAM-SHA-256'>{opening}</auth>"));
        let challenge = decoded(&client.hears("</challenge>"));
        let field = |name: &str| {
            let field = challenge.split(',').find_map(|field| field.strip_prefix(name));
            field.expect("a field of the challenge")
        };
        let (salt, rounds) = (BASE64_STANDARD.decode(field("s=")).unwrap(), field("i="));
        let salted = self
            .salted
            .get_or_init(|| stretched(self.password.as_bytes(), &salt, rounds.parse().unwrap()));
        let last = format!("c=biws,r={}", field("r="));
        let said = format!("{first},{challenge},{last}");
        let key = authenticated(salted, b"Client Key");
        let signature = authenticated(&hash(&[&key]), said.as_bytes());
        let proof: Vec<u8> = key.iter().zip(signature).map(|(key, mask)| key ^ mask).collect();
        let answer = BASE64_STANDARD.encode(format!("{last},p={}", BASE64_STANDARD.encode(proof)));
        client.says(&format!("<response {sasl}>{answer}</response>"));
        let server = authenticated(&authenticated(salted, b"Server Key"), said.as_bytes());
        let expected = format!("v={}", BASE64_STANDARD.encode(server));
        assert_eq!(decoded(&client.hears("</success>")), expected);
    }
}

impl Client {
    /// Begins a stream, anew once it is known whose it is.
    #[track_caller]
    fn opens(&mut self) {
        self.says(&format!(
            "<?xml version='1.0'?><stream:stream to='{HOST}' version='1.0' xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams'>"
        ));
        self.hears("</stream:features>");
    }

    #[track_caller]
    fn says(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// Everything up to and with `end`.
    #[track_caller]
    fn hears(&mut self, end: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            if let Some(at) = self.rest.find(end) {
                let after = self.rest.split_off(at + end.len());
                return std::mem::replace(&mut self.rest, after);
            }
            let read = self.stream.read(&mut buffer).unwrap();
            assert!(read > 0, "the server has closed the connection after {}", self.rest);
            self.rest.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
    }
}

/// What stands in the last element.
#[track_caller]
fn decoded(xml: &str) -> String {
    let (before, _) = xml.rsplit_once("</").expect("an element");
    let (_, text) = before.rsplit_once('>').expect("an element");
    String::from_utf8(BASE64_STANDARD.decode(text).unwrap()).unwrap()
}

/// The first block of PBKDF2, which is all there is of it.
fn stretched(password: &[u8], salt: &[u8], rounds: usize) -> Sha256 {
    let first = authenticated(password, &[salt, &[0, 0, 0, 1]].concat());
    let each = std::iter::successors(Some(first), |last| Some(authenticated(password, last)));
    let sum = |sum: Sha256, next: Sha256| std::array::from_fn(|at| sum[at] ^ next[at]);
    each.take(rounds).fold(Sha256::default(), sum)
}

fn authenticated(key: &[u8], text: &[u8]) -> Sha256 {
    *authenticate(key, &[text]).expose()
}
