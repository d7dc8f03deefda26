//! Datagrams that the kernel dropped because its own buffer was full: nobody else would tell.

use std::net::SocketAddr;

/// How many a socket has lost, if this system says so.
pub(super) fn drops(address: SocketAddr) -> Option<u64> {
    let table = if address.is_ipv4() { "/proc/net/udp" } else { "/proc/net/udp6" };
    drops_in(&std::fs::read_to_string(table).ok()?, address)
}

/// The last column of the row with this local address.
fn drops_in(table: &str, address: SocketAddr) -> Option<u64> {
    let port = format!(":{:04X}", address.port());
    let is_own = |row: &&str| {
        let local = row.split_whitespace().nth(1).and_then(|local| local.strip_suffix(&port));
        local.is_some_and(|local| local == in_words(address))
    };
    table.lines().skip(1).find(is_own)?.split_whitespace().next_back()?.parse().ok()
}

/// An address as the table has it: words of four bytes, each in the byte order of the machine.
fn in_words(address: SocketAddr) -> String {
    let bytes = match address {
        SocketAddr::V4(address) => address.ip().octets().to_vec(),
        SocketAddr::V6(address) => address.ip().octets().to_vec(),
    };
    let word = |word: &[u8]| word.try_into().map_or(0, u32::from_ne_bytes);
    bytes.chunks(4).map(|bytes| format!("{:08X}", word(bytes))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn the_row_of_a_socket_is_found() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            1: 0200007F:158A 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 7\n\
            2: 0100007F:158A 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 42\n";
        assert_eq!(drops_in(table, "127.0.0.1:5514".parse().unwrap()), Some(42));
        assert_eq!(drops_in(table, "127.0.0.1:5515".parse().unwrap()), None);
        assert_eq!(drops_in("", "127.0.0.1:5514".parse().unwrap()), None);
        assert_eq!(in_words("[::1]:1".parse().unwrap()), "00000000000000000000000001000000");
    }
}
