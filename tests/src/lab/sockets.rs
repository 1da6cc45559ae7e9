//! Which UDP sockets a process has, as the kernel tells it.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// Where a stranger on this machine can reach the UDP sockets of a process. Linux only.
#[must_use]
pub fn udp_sockets(pid: u32) -> Vec<SocketAddr> {
    let owned = socket_inodes(pid);
    let mut found = Vec::new();
    for table in ["udp", "udp6"] {
        let table = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(inode)) = (fields.get(1), fields.get(9)) else { continue };
            if owned.iter().any(|own| own == inode) {
                found.push(reachable(parse(local)));
            }
        }
    }
    found
}

fn socket_inodes(pid: u32) -> Vec<String> {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let target = |entry: fs::DirEntry| fs::read_link(entry.path()).ok();
    open.flatten()
        .filter_map(target)
        .filter_map(|link| {
            let link = link.to_string_lossy().into_owned();
            link.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned)
        })
        .collect()
}

/// An address as the kernel prints it: 32-bit words of the machine's byte order, in hexadecimal.
fn parse(text: &str) -> SocketAddr {
    let (host, port) = text.split_once(':').expect("host:port");
    let words: Vec<[u8; 4]> = host
        .as_bytes()
        .chunks(8)
        .map(|word| {
            let word = std::str::from_utf8(word).expect("hexadecimal digits");
            u32::from_str_radix(word, 16).expect("hexadecimal digits").to_ne_bytes()
        })
        .collect();
    let ip = match words.concat().try_into() {
        Ok::<[u8; 16], _>(bytes) => IpAddr::from(Ipv6Addr::from(bytes)),
        Err(bytes) => {
            IpAddr::from(<[u8; 4]>::try_from(bytes).map(Ipv4Addr::from).expect("four or sixteen"))
        }
    };
    SocketAddr::new(ip, u16::from_str_radix(port, 16).expect("a port"))
}

fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn addresses_are_read_as_the_kernel_prints_them() {
        if cfg!(target_endian = "big") {
            return;
        }
        assert_eq!(parse("0100007F:1F90"), "127.0.0.1:8080".parse().unwrap());
        let loopback = "00000000000000000000000001000000:0035";
        assert_eq!(parse(loopback), "[::1]:53".parse().unwrap());
    }

    #[test]
    fn a_process_finds_its_own_socket() {
        if !cfg!(target_os = "linux") {
            return;
        }
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        let here = SocketAddr::from(([127, 0, 0, 1], socket.local_addr().unwrap().port()));
        assert!(udp_sockets(std::process::id()).contains(&here));
    }
}
