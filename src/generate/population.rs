//! Who is out there: the networks traffic comes from.
//!
//! Ordinary clients are numbered, and everything about one follows from its number, so a million of them take
//! no memory. Some come far more often than others, as in any log.
//!
//! Attackers are kept apart: their addresses are from ranges reserved for benchmarks and documentation, which
//! no ordinary client has. So an address that occurs in a label occurs in no other line, and no generated log
//! accuses a network that exists.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::generate::agents;
use crate::generate::random::{Random, mix};

/// The ordinary clients of one run.
pub(super) struct Population {
    seed: u64,
    size: u32,
}

/// One ordinary client, as its number has it.
#[derive(Clone, Copy)]
pub(super) struct Client {
    pub(super) number: u64,
    pub(super) address: IpAddr,
    pub(super) browser: &'static str,
    /// Has been here before, so its browser holds copies of files.
    pub(super) returning: bool,
}

impl Population {
    pub(super) fn new(seed: u64, size: u32) -> Population {
        Population { seed, size: size.max(1) }
    }

    /// A client drawn by how often clients come: the one of rank r in proportion to 1 / (r + size / 64), a
    /// heavy tail whose head is not so heavy that one household looks like an attack. Drawn by doubling
    /// steps, each as likely as the next, which needs no power function.
    pub(super) fn draw(&self, random: &mut Random) -> Client {
        let head = u64::from(self.size / 64 + 1);
        let whole = head + u64::from(self.size);
        let steps = (whole / head).ilog2() + 1;
        loop {
            let step = head << random.below(steps);
            let position = step + random.below_wide(step);
            if position < whole {
                return self.client(position - head);
            }
        }
    }

    /// The numbered client. Numbers from `size` on are clients no visit draws.
    pub(super) fn client(&self, number: u64) -> Client {
        let mixed = mix(self.seed, number);
        let browser = agents::BROWSERS[(mixed >> 40) as usize % agents::BROWSERS.len()];
        Client { number, address: home_address(mixed), browser, returning: (mixed >> 8).is_multiple_of(3) }
    }

    /// The client a numbered member of the staff works at.
    pub(super) fn employee(&self, number: u32) -> Client {
        let mut client = self.client(mix(self.seed, u64::from(number)) % u64::from(self.size));
        client.browser = agents::DESKTOPS[number as usize % agents::DESKTOPS.len()];
        client
    }

    /// A client outside the ordinary ones, for innocents that are staged: what a label says about it is then
    /// the whole of what it does.
    pub(super) fn guest(&self, number: u32) -> Client {
        self.client((1 << 40) + u64::from(number))
    }

    /// A member of a guest's household: an address in the /64 that the household has.
    pub(super) fn household(&self, number: u32, member: u32) -> IpAddr {
        let mixed = mix(self.seed, (1 << 41) + u64::from(number));
        let network = HOME_NETWORKS_V6[(mixed >> 3) as usize % HOME_NETWORKS_V6.len()];
        IpAddr::V6(v6(network, (mixed >> 16) as u32, mix(mixed, u64::from(member))))
    }
}

/// First bytes of networks that sell access to homes and telephones.
const HOME_NETWORKS: [u8; 32] = [
    24, 37, 46, 49, 62, 71, 73, 77, 78, 79, 81, 82, 83, 84, 85, 86, 88, 90, 91, 93, 94, 95, 109, 122, 151,
    176, 177, 178, 186, 187, 189, 201,
];
const HOME_NETWORKS_V6: [[u16; 2]; 8] = [
    [0x2003, 0xe6],
    [0x2a02, 0x8071],
    [0x2804, 0x14d],
    [0x2409, 0x40c0],
    [0x2a01, 0xcb1c],
    [0x2600, 0x1700],
    [0x2806, 0x2f0],
    [0x2001, 0x4c4c],
];

fn home_address(mixed: u64) -> IpAddr {
    let spread = mix(mixed, 1);
    if mixed.is_multiple_of(7) {
        let network = HOME_NETWORKS_V6[(mixed >> 3) as usize % HOME_NETWORKS_V6.len()];
        return IpAddr::V6(v6(network, (mixed >> 16) as u32, spread));
    }
    let [_, second, third, last, ..] = spread.to_be_bytes();
    let first = HOME_NETWORKS[(mixed >> 3) as usize % HOME_NETWORKS.len()];
    IpAddr::V4(Ipv4Addr::new(first, second, third, last % 253 + 1))
}

/// The address that belongs to a numbered attacker: one of 131 072 of 198.18.0.0/15, spread so that neighbours
/// in number are not neighbours in the network; one in eight comes by IPv6, from 2001:db8::/32.
pub(super) fn attacker(number: u32) -> IpAddr {
    let spread = number.wrapping_mul(0x9e37_79b1) & 0x1_ffff;
    if number % 8 == 5 {
        return IpAddr::V6(v6([0x2001, 0xdb8], number, mix(7, u64::from(number))));
    }
    let [_, high, third, last] = spread.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(198, 18 + high, third, last))
}

/// The attacker's neighbour in its own /64: one machine that changes its address as often as it likes.
pub(super) fn neighbour(network: u32, host: u32) -> IpAddr {
    IpAddr::V6(v6([0x2001, 0xdb8], network, mix(u64::from(network), u64::from(host))))
}

/// A crawler of Google's.
pub(super) fn google(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(66, 249, 64 + (number >> 7 & 31) as u8, 1 + (number & 127) as u8))
}

/// A crawler of Bing's.
pub(super) fn bing(number: u32) -> IpAddr {
    let [a, b, c] = [[40, 77, 167], [157, 55, 39], [207, 46, 13]][number as usize % 3];
    IpAddr::V4(Ipv4Addr::new(a, b, c, 1 + (number / 3 % 250) as u8))
}

/// A sender of Meta's, which delivers webhooks from many machines at once.
pub(super) fn meta(number: u32) -> IpAddr {
    if number % 5 == 4 {
        return IpAddr::V6(v6([0x2a03, 0x2880], 0x10ff_0000 + number % 512, 0xface_b00c));
    }
    let [a, b, c] = [[173, 252, 64], [31, 13, 96], [69, 171, 224]][number as usize % 3];
    let within = number / 3 % 4096;
    IpAddr::V4(Ipv4Addr::new(a, b, c + (within >> 8) as u8, within as u8))
}

/// A machine of a service that asks whether the shop is up.
pub(super) fn monitor(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(216, 144, 248 + (number >> 7 & 7) as u8, 16 + (number & 127) as u8))
}

fn v6(prefix: [u16; 2], network: u32, host: u64) -> Ipv6Addr {
    let (high, low) = ((network >> 16) as u16, network as u16);
    let [a, b, c, d] = [(host >> 48) as u16, (host >> 32) as u16, (host >> 16) as u16, host as u16];
    Ipv6Addr::new(prefix[0], prefix[1], high, low, a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn some_clients_come_far_more_often_than_others_but_none_dominates() {
        let population = Population::new(1, 1000);
        let mut random = Random::new(1);
        let mut visits: BTreeMap<IpAddr, u32> = BTreeMap::new();
        for _ in 0..100_000 {
            *visits.entry(population.draw(&mut random).address).or_default() += 1;
        }
        let mut counts: Vec<u32> = visits.into_values().collect();
        counts.sort_unstable();
        assert!(counts.len() > 990, "nearly every client comes in the long run, not {}", counts.len());
        let (rarest, median, busiest) = (counts[0], counts[counts.len() / 2], counts[counts.len() - 1]);
        assert!(busiest > 10 * median && median > rarest, "a heavy tail: {rarest}, {median}, {busiest}");
        assert!(busiest < 3000, "no client may be 3 % of all visits");
    }

    #[test]
    fn attackers_do_not_share_addresses() {
        let attackers: BTreeSet<IpAddr> = (0..60_000).map(attacker).collect();
        assert_eq!(attackers.len(), 60_000, "two attackers must not look like one");
    }
}
