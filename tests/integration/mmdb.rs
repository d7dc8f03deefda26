//! A small writer of databases in MaxMind's format, for tests. As its specification 2.0 has it.

use std::net::IpAddr;

use serde_json::Value;

/// What numbers with decimals are written as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Decimals {
    /// Eight bytes, as MaxMind does.
    Double,
    /// Four bytes, as DB-IP does.
    Float,
}

/// A child of a node of the search tree.
#[derive(Clone, Copy)]
enum Child {
    Nothing,
    Node(usize),
    Data(usize),
}

/// A database that calls itself `kind` and has a record for each network, such as `192.0.2.0/24`.
pub fn database(kind: &str, decimals: Decimals, networks: &[(&str, Value)]) -> Vec<u8> {
    let mut nodes = vec![[Child::Nothing; 2]];
    let mut data = Vec::new();
    for (network, record) in networks {
        let (address, length) = network.split_once('/').unwrap();
        let length: u32 = length.parse().unwrap();
        let (bits, length) = match address.parse().unwrap() {
            IpAddr::V4(address) => (u128::from(u32::from(address)), length + 96),
            IpAddr::V6(address) => (u128::from(address), length),
        };
        let mut node = 0;
        for depth in 0..length {
            let side = (bits >> (127 - depth) & 1) as usize;
            if depth + 1 == length {
                nodes[node][side] = Child::Data(data.len());
            } else if let Child::Node(next) = nodes[node][side] {
                node = next;
            } else {
                nodes[node][side] = Child::Node(nodes.len());
                node = nodes.len();
                nodes.push([Child::Nothing; 2]);
            }
        }
        write(&mut data, record, decimals);
    }
    let count = nodes.len();
    let mut file = Vec::new();
    for child in nodes.iter().flatten() {
        let record = match child {
            Child::Nothing => count,
            Child::Node(node) => *node,
            Child::Data(offset) => count + 16 + offset,
        };
        file.extend_from_slice(&u32::try_from(record).unwrap().to_be_bytes()[1..]);
    }
    file.extend_from_slice(&[0; 16]);
    file.append(&mut data);
    file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    let metadata = serde_json::json!({
        "node_count": count, "record_size": 24, "ip_version": 6, "database_type": kind, "languages": ["en"],
        "binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1_790_000_000,
        "description": {"en": "for tests"},
    });
    write(&mut file, &metadata, decimals);
    file
}

fn write(out: &mut Vec<u8>, value: &Value, decimals: Decimals) {
    match value {
        Value::Object(map) => {
            control(out, 7, map.len());
            for (key, value) in map {
                write(out, &Value::String(key.clone()), decimals);
                match key.as_str() {
                    "record_size" | "ip_version" => whole(out, 5, 2, value),
                    "binary_format_major_version" | "binary_format_minor_version" => whole(out, 5, 2, value),
                    "build_epoch" => whole(out, 9, 8, value),
                    _ => write(out, value, decimals),
                }
            }
        }
        Value::Array(list) => {
            control(out, 11, list.len());
            list.iter().for_each(|value| write(out, value, decimals));
        }
        Value::String(text) => {
            control(out, 2, text.len());
            out.extend_from_slice(text.as_bytes());
        }
        Value::Bool(value) => control(out, 14, usize::from(*value)),
        Value::Number(number) => match number.as_u64() {
            Some(_) => whole(out, 6, 4, value),
            None if decimals == Decimals::Float => {
                control(out, 15, 4);
                out.extend_from_slice(&(number.as_f64().unwrap() as f32).to_be_bytes());
            }
            None => {
                control(out, 3, 8);
                out.extend_from_slice(&number.as_f64().unwrap().to_be_bytes());
            }
        },
        Value::Null => unreachable!("there is none in the format"),
    }
}

/// A whole number of a kind, in so many bytes.
fn whole(out: &mut Vec<u8>, kind: u8, bytes: usize, value: &Value) {
    control(out, kind, bytes);
    out.extend_from_slice(&value.as_u64().unwrap().to_be_bytes()[8 - bytes..]);
}

fn control(out: &mut Vec<u8>, kind: u8, size: usize) {
    let (short, more) = match size {
        0..29 => (size as u8, None),
        _ => (29, Some(u8::try_from(size - 29).unwrap())),
    };
    match kind {
        1..8 => out.push(kind << 5 | short),
        _ => out.extend_from_slice(&[short, kind - 7]),
    }
    out.extend(more);
}
