//! What has a router keep ports for the machines behind it: miniupnpd, or what stands in for an older router.

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::{namespace::Namespace, natpmp::NatPmp};

/// Which protocols are spoken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Protocol {
    /// PCP, and the older NAT-PMP on the same port.
    Pcp,
    /// NAT-PMP alone.
    NatPmp,
    /// UPnP.
    Upnp,
}

/// What it takes of the packet filter beside a router's own rules.
const TABLE: &str = "
table inet upnp {
  chain keep { }
  chain keep_pre { }
  chain keep_post { }
  chain forward { type filter hook forward priority -10; policy accept; jump keep; }
  chain pre { type nat hook prerouting priority -110; policy accept; jump keep_pre; }
  chain post { type nat hook postrouting priority 90; policy accept; jump keep_post; }
}
";

/// The daemon, or what stands in for one, on a router whose outer device is `wan` and whose inner one has the address 192.168.1.1.
#[derive(Debug)]
pub(super) enum Igd {
    Daemon { process: Child, _folder: TempDir },
    NatPmp { _serving: NatPmp },
}

impl Igd {
    /// Starts it beside the router's rules.
    #[track_caller]
    pub(super) fn start(router: &Namespace, protocol: Protocol) -> Self {
        router.nft(TABLE);
        if protocol == Protocol::NatPmp {
            return Self::NatPmp { _serving: NatPmp::start(router) };
        }
        let folder = tempfile::tempdir().expect("a folder");
        let switch = |on| if on { "yes" } else { "no" };
        let (pcp, upnp) = (switch(protocol == Protocol::Pcp), switch(protocol == Protocol::Upnp));
        // It refuses addresses of documentation as its outer one, so it is given another; nobody sends there.
        let config = format!(
            "ext_ifname=wan\n\
             ext_ip=1.2.3.4\n\
             listening_ip=192.168.1.1/24\n\
             enable_natpmp={pcp}\n\
             enable_upnp={upnp}\n\
             secure_mode=yes\n\
             uuid=00000000-0000-0000-0000-000000000001\n\
             upnp_table_name=upnp\n\
             upnp_nat_table_name=upnp\n\
             upnp_forward_chain=keep\n\
             upnp_nat_chain=keep_pre\n\
             upnp_nat_postrouting_chain=keep_post\n\
             allow 1024-65535 192.168.1.0/24 1024-65535\n\
             deny 0-65535 0.0.0.0/0 0-65535\n"
        );
        let (file, pid) = (folder.path().join("conf"), folder.path().join("pid"));
        fs::write(&file, config).expect("its configuration");
        let process = router.within(|| {
            Command::new("miniupnpd")
                .args(["-d", "-f"])
                .arg(&file)
                .arg("-P")
                .arg(&pid)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("miniupnpd")
        });
        Self::Daemon { process, _folder: folder }
    }

    /// How many ports the router keeps.
    #[track_caller]
    pub(super) fn kept(router: &Namespace) -> usize {
        let listed = router.within(|| {
            Command::new("nft").args(["list", "chain", "inet", "upnp", "keep_pre"]).output()
        });
        let listed = listed.expect("nft").stdout;
        String::from_utf8_lossy(&listed).matches("dnat").count()
    }
}

impl Drop for Igd {
    fn drop(&mut self) {
        if let Self::Daemon { process, .. } = self {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
