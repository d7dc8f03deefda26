//! How the lines of a block are written: framed and compressed. Pure; any bytes are read without a panic.
//!
//! ```text
//! block   = length of what is compressed, zstd(frame)
//! frame   = version, entry*
//! entry   = context, [stream and format when the context is new], received, text
//! context = number of a stream and a format, in order of first use
//! ```
//! Numbers are LEB128, texts have their length before them, and times are the difference to that of the entry before.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use crate::decode::Format;
use crate::event::Timestamp;
use crate::intake::{Lines, Stream};

/// The first byte of a frame.
const VERSION: u8 = 1;

/// Most bytes of a frame that is read: several times what is ever written. Before it is unpacked that much is asked of the
/// allocator.
const MAX_FRAME_BYTES: usize = 64 << 20;

/// The fastest level but for those that hardly compress; logs become a tenth.
const COMPRESSION_LEVEL: i32 = 1;

/// Why bytes are not a block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It was written by another version.
    #[error("its version is {0}, not {VERSION}")]
    Version(u8),
    /// It does not unpack.
    #[error("it does not unpack")]
    Packing,
    /// It would take too much memory.
    #[error("it is larger than any that is written")]
    TooLarge,
    /// It ends within an entry.
    #[error("it ends within an entry")]
    Cut,
    /// A number has more than 64 bits, or stands for nothing.
    #[error("a number in it makes no sense")]
    Number,
    /// A text is not UTF-8.
    #[error("a text in it is not UTF-8")]
    Text,
    /// A format is not known.
    #[error("a log format in it is not known")]
    Format,
}

/// What a stream is known by.
type Name = (Arc<str>, Arc<str>, Arc<str>);

/// What blocks are compressed with. To make one costs more than to compress a small block.
#[derive(Default)]
pub struct Packer(Option<zstd::bulk::Compressor<'static>>);

impl Packer {
    fn compress(&mut self, frame: &[u8]) -> std::io::Result<Vec<u8>> {
        let compressor = match self.0.take() {
            Some(compressor) => compressor,
            None => zstd::bulk::Compressor::new(COMPRESSION_LEVEL)?,
        };
        self.0.insert(compressor).compress(frame)
    }
}

/// Writes a frame.
pub struct Encoder {
    frame: Vec<u8>,
    /// The last context of each stream, and its format.
    contexts: HashMap<Name, (u64, Format)>,
    next_context: u64,
    last_received: i64,
    records: u64,
    text_bytes: u64,
    at: Option<Timestamp>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            frame: vec![VERSION],
            contexts: HashMap::new(),
            next_context: 0,
            last_received: 0,
            records: 0,
            text_bytes: 0,
            at: None,
        }
    }
}

impl Encoder {
    /// Adds an entry.
    pub fn push(&mut self, lines: &Lines) {
        let Lines { stream, text, format, received, counted: _, offset: _ } = lines;
        let name = (Arc::clone(&stream.source), Arc::clone(&stream.tenant), Arc::clone(&stream.name));
        let context = match self.contexts.entry(name) {
            Entry::Occupied(known) if known.get().1 == *format => Some(known.get().0),
            // Of a stream whose format changes only the last one is remembered: looking for it must not take longer.
            entry => {
                entry.insert_entry((self.next_context, format.clone()));
                None
            }
        };
        put_number(&mut self.frame, context.unwrap_or(self.next_context));
        if context.is_none() {
            self.next_context += 1;
            for text in [&*stream.source, &stream.tenant, &stream.name, &format.to_string(), &format.header()]
            {
                put_text(&mut self.frame, text);
            }
        }
        let received_micros = received.as_micros();
        put_number(&mut self.frame, zigzag(received_micros.wrapping_sub(self.last_received)));
        self.last_received = received_micros;
        put_text(&mut self.frame, text);
        self.records += 1;
        self.text_bytes += text.len() as u64;
        self.at = self.at.max(Some(*received));
    }

    /// Bytes written so far.
    pub const fn len(&self) -> usize {
        self.frame.len()
    }

    /// Whether nothing was added.
    pub const fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Bytes of the texts.
    pub const fn text_bytes(&self) -> u64 {
        self.text_bytes
    }

    /// When the last of it arrived.
    pub fn at(&self) -> Timestamp {
        self.at.unwrap_or_default()
    }

    /// The block.
    pub fn pack(&self, packer: &mut Packer) -> std::io::Result<Vec<u8>> {
        let mut block = Vec::new();
        put_number(&mut block, self.frame.len() as u64);
        block.append(&mut packer.compress(&self.frame)?);
        Ok(block)
    }
}

/// Bytes of any kind, compressed.
pub fn pack_bytes(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut packed = Vec::new();
    put_number(&mut packed, bytes.len() as u64);
    packed.append(&mut zstd::bulk::compress(bytes, COMPRESSION_LEVEL)?);
    Ok(packed)
}

/// What [`pack_bytes`] has compressed.
pub fn unpack_bytes(packed: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut rest = packed;
    let length = usize::try_from(take_number(&mut rest)?).map_err(|_| Malformed::TooLarge)?;
    if length > MAX_FRAME_BYTES {
        return Err(Malformed::TooLarge);
    }
    let bytes = zstd::bulk::decompress(rest, length).map_err(|_| Malformed::Packing)?;
    if bytes.len() == length { Ok(bytes) } else { Err(Malformed::Packing) }
}

/// The entries of a block.
pub fn unpack(block: &[u8]) -> Result<Vec<Lines>, Malformed> {
    read_frame(&unpack_bytes(block)?)
}

fn read_frame(frame: &[u8]) -> Result<Vec<Lines>, Malformed> {
    let (version, mut rest) = frame.split_first().ok_or(Malformed::Cut)?;
    if *version != VERSION {
        return Err(Malformed::Version(*version));
    }
    let mut contexts: Vec<(Arc<Stream>, Format)> = Vec::new();
    let mut received = 0_i64;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let context = usize::try_from(take_number(&mut rest)?).map_err(|_| Malformed::Number)?;
        if context == contexts.len() {
            contexts.push(take_context(&mut rest)?);
        }
        let (stream, format) = contexts.get(context).ok_or(Malformed::Number)?;
        received = received.wrapping_add(unzigzag(take_number(&mut rest)?));
        let text = take_text(&mut rest)?.to_owned();
        entries.push(Lines {
            stream: Arc::clone(stream),
            text,
            format: format.clone(),
            received: Timestamp::from_micros(received),
            counted: None,
            offset: None,
        });
    }
    Ok(entries)
}

fn take_context(rest: &mut &[u8]) -> Result<(Arc<Stream>, Format), Malformed> {
    let mut text = || take_text(rest);
    let stream = Stream { source: text()?.into(), tenant: text()?.into(), name: text()?.into() };
    let format: Format = text()?.parse().map_err(|_| Malformed::Format)?;
    let format = format.after(text()?);
    Ok((Arc::new(stream), format))
}

fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_number(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut number = 0;
    for place in 0..10 {
        let (byte, after) = rest.split_first().ok_or(Malformed::Cut)?;
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        if place == 9 && bits > 1 {
            break;
        }
        number |= bits << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Malformed::Number)
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_number(bytes, text.len() as u64);
    bytes.extend_from_slice(text.as_bytes());
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, Malformed> {
    let length = usize::try_from(take_number(rest)?).map_err(|_| Malformed::Cut)?;
    let (text, after) = rest.split_at_checked(length).ok_or(Malformed::Cut)?;
    *rest = after;
    std::str::from_utf8(text).map_err(|_| Malformed::Text)
}

/// Small numbers of either sign become small numbers.
const fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}

const fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block(entries: &[Lines]) -> Vec<u8> {
        let mut encoder = Encoder::default();
        entries.iter().for_each(|entry| encoder.push(entry));
        encoder.pack(&mut Packer::default()).unwrap()
    }

    /// Without what is not stored.
    fn shown(entries: &[Lines]) -> Vec<String> {
        entries.iter().map(|entry| format!("{entry:?}")).collect()
    }

    prop_compose! {
        fn lines()(
            source in 0..3_u8, name in "[a-c/]{0,3}", text in "(\\PC{0,40}\n){0,3}", format in 0..7_usize,
            received in any::<i64>(),
        ) -> Lines {
            let w3c = |header| "w3c".parse::<Format>().unwrap().after(header);
            let format = match format {
                0 => Format::Combined,
                1 => Format::Json,
                2 => Format::Haproxy,
                3 => Format::Alb,
                4 => w3c(""),
                5 => w3c("#Fields: date time c-ip\n#Date: 2026-11-24 01:00:00\n"),
                _ => w3c("#Fields: date\ttime x-edge-location\tcs-uri-stem\n"),
            };
            let stream = Stream { source: format!("s{source}").into(), tenant: "".into(), name: name.into() };
            Lines { stream: Arc::new(stream), text, format, received: Timestamp::from_micros(received), counted: None, offset: None }
        }
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(entries in prop::collection::vec(lines(), 0..20)) {
            prop_assert_eq!(shown(&unpack(&block(&entries)).unwrap()), shown(&entries));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(
            entries in prop::collection::vec(lines(), 0..5),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut encoder = Encoder::default();
            entries.iter().for_each(|entry| encoder.push(entry));
            for mut bytes in [encoder.frame.clone(), block(&entries)] {
                for (at, byte) in &changes {
                    let at = at.index(bytes.len());
                    bytes[at] = *byte;
                }
                let _ = (unpack(&bytes), read_frame(&bytes));
                bytes.truncate(cut.index(bytes.len()));
                let _ = (unpack(&bytes), read_frame(&bytes));
            }
        }

        #[test]
        fn numbers_come_back(number in any::<u64>(), signed in any::<i64>()) {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            prop_assert_eq!(take_number(&mut &bytes[..]), Ok(number));
            prop_assert_eq!(unzigzag(zigzag(signed)), signed);
        }
    }

    #[test]
    fn what_is_not_a_block_says_why() {
        let packed = |frame: &[u8], length: u64| {
            let mut block = Vec::new();
            put_number(&mut block, length);
            block.append(&mut zstd::bulk::compress(frame, 1).unwrap());
            block
        };
        let whole = |frame: &[u8]| packed(frame, frame.len() as u64);
        for (bytes, expected) in [
            (Vec::new(), Malformed::Cut),
            (vec![0xff; 20], Malformed::Number),
            (packed(&[VERSION], u64::MAX), Malformed::TooLarge),
            (packed(&[VERSION], 1 << 40), Malformed::TooLarge),
            (packed(&[VERSION, 0], 1), Malformed::Packing),
            (packed(&[VERSION, 0], 3), Malformed::Packing),
            (whole(&[9]), Malformed::Version(9)),
            (whole(&[VERSION, 1]), Malformed::Number),
            (whole(&[VERSION, 0, 1]), Malformed::Cut),
            (whole(&[VERSION, 0, 1, 0xff]), Malformed::Text),
            (whole(&[VERSION, 0, 0, 0, 0, 1, b'x', 0]), Malformed::Format),
        ] {
            assert_eq!(unpack(&bytes).unwrap_err(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_stream_is_named_once() {
        let stream = Arc::new(Stream { source: "web".into(), tenant: "".into(), name: "/var/log/a".into() });
        let entry = |received| Lines {
            stream: Arc::clone(&stream),
            text: "x\n".into(),
            format: Format::Json,
            received: Timestamp::from_micros(received),
            counted: None,
            offset: None,
        };
        let mut encoder = Encoder::default();
        encoder.push(&entry(1_764_000_000_000_000));
        let first = encoder.len();
        encoder.push(&entry(1_764_000_000_000_050));
        assert_eq!(encoder.len() - first, "x\n".len() + 3);
        assert_eq!(encoder.at(), Timestamp::from_micros(1_764_000_000_000_050));
        assert_eq!(encoder.text_bytes(), 4);
    }
}
