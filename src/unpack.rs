//! What a file or a pipe holds, unpacked when it is gzip.

use std::io::{self, BufReader, Cursor, Read};

/// How gzip begins.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Compressed bytes that are read at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// Reads on as it is, or unpacked when it begins as gzip does. Names say nothing: rotated logs and pipes have others.
pub fn unpacked(mut reader: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut start = Vec::with_capacity(MAGIC.len());
    reader.by_ref().take(MAGIC.len() as u64).read_to_end(&mut start)?;
    let is_packed = start == MAGIC;
    let whole = Cursor::new(start).chain(reader);
    if !is_packed {
        return Ok(Box::new(whole));
    }
    Ok(Box::new(flate2::read::MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, whole))))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn gzip_is_unpacked_and_anything_else_is_as_it_is() {
        let packed = |text: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        };
        let members = [packed(b"one\n"), packed(b"two\n")].concat();
        for (input, expected) in [
            (members, &b"one\ntwo\n"[..]),
            (b"plain".to_vec(), b"plain"),
            (b"p".to_vec(), b"p"),
            (Vec::new(), b""),
            (vec![0x1f], &[0x1f]),
        ] {
            let mut text = Vec::new();
            unpacked(Cursor::new(input)).unwrap().read_to_end(&mut text).unwrap();
            assert_eq!(text, expected);
        }
    }
}
