//! Pairs as queries and forms have them.

/// Most pairs that are looked at; the rest is left out. The longest forms that are known have some dozens.
const MAX_PAIRS: usize = 1000;

/// The pairs of a query or a form, in order. What is not escaped well stays as it is.
pub fn pairs(text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pairs = text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).take(MAX_PAIRS);
    pairs
        .map(|pair| {
            let (name, value) = match memchr::memchr(b'=', pair) {
                Some(equals) => (&pair[..equals], &pair[equals + 1..]),
                None => (pair, &b""[..]),
            };
            (unescape(name), unescape(value))
        })
        .collect()
}

/// The value of the one pair of this name.
pub fn only<'p>(pairs: &'p [(Vec<u8>, Vec<u8>)], name: &str) -> Option<&'p [u8]> {
    let mut found = pairs.iter().filter(|(other, _)| other == name.as_bytes());
    let (Some((_, value)), None) = (found.next(), found.next()) else { return None };
    Some(value)
}

fn unescape(text: &[u8]) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        bytes.push(match (first, behind) {
            (b'+', _) => b' ',
            (b'%', [high, low, after @ ..]) => match (digit(high), digit(low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    high << 4 | low
                }
                _ => b'%',
            },
            (byte, _) => *byte,
        });
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_unescaped_once() {
        for (text, expected) in [
            ("", vec![]),
            ("&&", vec![]),
            ("a=1&b=2", vec![("a", "1"), ("b", "2")]),
            ("hub.mode=subscribe", vec![("hub.mode", "subscribe")]),
            ("a=%2B31+6&a", vec![("a", "+31 6"), ("a", "")]),
            ("a=b=c&=d", vec![("a", "b=c"), ("", "d")]),
            ("a=%2525&b=%zz&c=%4", vec![("a", "%25"), ("b", "%zz"), ("c", "%4")]),
        ] {
            let pairs = pairs(text.as_bytes());
            let found: Vec<(&str, &str)> = pairs
                .iter()
                .map(|(name, value)| (str::from_utf8(name).unwrap(), str::from_utf8(value).unwrap()))
                .collect();
            assert_eq!(found, expected, "{text}");
        }
        assert_eq!(pairs("a=1&".repeat(5 * MAX_PAIRS).as_bytes()).len(), MAX_PAIRS);
    }

    #[test]
    fn a_pair_that_is_there_twice_is_not_the_only_one() {
        let pairs = pairs(b"a=1&b=2&b=2");
        assert_eq!(only(&pairs, "a"), Some(&b"1"[..]));
        assert_eq!((only(&pairs, "b"), only(&pairs, "c")), (None, None));
    }
}
