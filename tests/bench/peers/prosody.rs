//! Prosody, the XMPP server: alone with its own folder and a certificate that says nothing.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use hither_tests::wire::Pem;

use super::xmpp::{self, Client};
use crate::samples::until;

const PROGRAM: &str = "/usr/bin/prosody";
const PASSWORD: &str = "password";
const PATIENCE: Duration = Duration::from_secs(60);

/// A server with accounts.
#[derive(Debug)]
pub(crate) struct Prosody {
    child: Child,
    address: SocketAddr,
    logins: xmpp::Logins,
}

impl Prosody {
    /// Starts one in a folder that is made for it, if it is installed, with so many accounts.
    #[track_caller]
    pub(crate) fn start(folder: &Path, accounts: usize) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            return None;
        }
        fs::create_dir_all(folder.join("data")).unwrap();
        let config = folder.join("prosody.cfg.lua");
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        fs::write(&config, configuration(folder, address.port())).unwrap();
        register(folder, &config, accounts);
        let log = File::create(folder.join("said")).unwrap();
        let child = Command::new(PROGRAM)
            .arg("--config")
            .arg(&config)
            .arg("-F")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        until("Prosody", PATIENCE, || TcpStream::connect(address).is_ok());
        Some(Self { child, address, logins: xmpp::Logins::new(PASSWORD) })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Logs one of the accounts in: a TLS handshake, SCRAM, and a resource.
    #[track_caller]
    pub(crate) fn logs_in(&self, account: usize) -> Client {
        self.logins.log_in(self.address, &name(account))
    }
}

impl Drop for Prosody {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What Debian's configuration comes to for one host, without what logs, federates and limits.
fn configuration(folder: &Path, port: u16) -> String {
    let (certificate, key) = certificate(folder);
    let [folder, certificate, key] =
        [folder, &certificate, &key].map(|path| path.display().to_string());
    format!(
        r#"run_as_root = true
daemonize = false
pidfile = "{folder}/prosody.pid"
data_path = "{folder}/data"
log = {{ error = "*console" }}
network_backend = "epoll"
modules_enabled = {{ "roster", "saslauth", "tls", "disco" }}
modules_disabled = {{ "s2s", "offline" }}
authentication = "internal_hashed"
password_hash = "SHA-256"
storage = "internal"
c2s_ports = {{ }}
c2s_direct_tls_ports = {{ {port} }}
c2s_direct_tls_interfaces = {{ "127.0.0.1" }}
c2s_direct_tls_ssl = {{ certificate = "{certificate}", key = "{key}" }}
ssl = {{ certificate = "{certificate}", key = "{key}" }}
VirtualHost "localhost"
"#
    )
}

fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let pem = Pem::of_another_issuer(1);
    let (certificate, key) = (folder.join("localhost.crt"), folder.join("localhost.key"));
    fs::write(&certificate, pem.certificate).unwrap();
    fs::write(&key, pem.key).unwrap();
    (certificate, key)
}

/// Makes one account, and of its file all others: they have the same password and salt.
#[track_caller]
fn register(folder: &Path, config: &Path, accounts: usize) {
    let mut command = Command::new("prosodyctl");
    command.arg("--config").arg(config).args(["register", &name(0), "localhost", PASSWORD]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let first = folder.join("data/localhost/accounts").join(format!("{}.dat", name(0)));
    assert!(first.exists(), "{}", String::from_utf8_lossy(&output.stdout));
    for account in 1..accounts {
        fs::copy(&first, first.with_file_name(format!("{}.dat", name(account)))).unwrap();
    }
}

fn name(account: usize) -> String {
    format!("person{account}")
}
