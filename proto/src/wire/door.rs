//! Where and how one end of an introduction can be reached, as the server hands it on and finds it out.

use std::net::{IpAddr, SocketAddr};

use minicbor::{Decode, Encode};

use crate::crypto::secret::Secret;

/// Where and how to reach one end of an attempt.
#[derive(Debug, Decode, Encode)]
#[cbor(array)]
pub struct Door {
    /// The hash of this end's throw-away certificate.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub certificate: [u8; 32],
    /// The key of the knocks that this end lets in.
    #[n(1)]
    pub knock: Secret<32>,
    /// Where to try. The server adds the address that it sees.
    #[n(2)]
    pub candidates: Vec<Candidate>,
}

/// Where a client may show itself a second time.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(array)]
pub struct Observer {
    /// The port, at the server's address.
    #[n(0)]
    pub port: u16,
    /// By which the server knows the client there.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub token: [u8; 16],
}

/// One address of one end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Candidate(pub SocketAddr);

impl<Ctx> Encode<Ctx> for Candidate {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut Ctx,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(2)?;
        match self.0.ip() {
            IpAddr::V4(ip) => e.bytes(&ip.octets())?,
            IpAddr::V6(ip) => e.bytes(&ip.octets())?,
        };
        e.u16(self.0.port())?.ok()
    }
}

impl<'b, Ctx> Decode<'b, Ctx> for Candidate {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut Ctx) -> Result<Self, minicbor::decode::Error> {
        let malformed = || minicbor::decode::Error::message("not an address");
        if d.array()? != Some(2) {
            return Err(malformed());
        }
        let ip = d.bytes()?;
        let ip = match (<[u8; 4]>::try_from(ip), <[u8; 16]>::try_from(ip)) {
            (Ok(v4), _) => IpAddr::from(v4),
            (_, Ok(v6)) => IpAddr::from(v6),
            _ => return Err(malformed()),
        };
        Ok(Self(SocketAddr::new(ip, d.u16()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{DecodeError, decode, encode};

    #[test]
    fn candidates_carry_both_families() {
        for address in ["192.0.2.1:9", "[2001:db8::1]:65535"] {
            let candidate = Candidate(address.parse().unwrap());
            assert_eq!(decode(&encode(&candidate)), Ok(candidate));
        }
        assert_eq!(decode::<Candidate>(&[0x82, 0x43, 1, 2, 3, 9]), Err(DecodeError::Malformed));
        assert_eq!(
            decode::<Candidate>(&[0x83, 0x44, 1, 2, 3, 4, 9, 9]),
            Err(DecodeError::Malformed)
        );
    }
}
