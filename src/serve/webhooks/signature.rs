//! Whether a body is from whom it says it is: signatures made with a secret that only the sender and we know.
//!
//! Pure. Bytes are compared in constant time, and it is always the bytes that arrived which are hashed: nothing is
//! parsed, decoded or written anew before.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac};
use serde::Deserialize;

/// Longest signature in bytes: of SHA-512.
const MAX_TAG_BYTES: usize = 64;

/// The hash of a signature. SHA-1 is none of them: it is for Twilio alone, which has no other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hash {
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Hash {
    const fn algorithm(self) -> hmac::Algorithm {
        match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    const fn bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// How the bytes of a signature are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Hexadecimal digits, of either case.
    #[default]
    Hex,
    /// Base 64 with padding.
    Base64,
}

/// How a header has a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// What stands before it.
    pub prefix: String,
    /// How it is written.
    pub encoding: Encoding,
    /// What it is made with.
    pub hash: Hash,
}

impl Scheme {
    /// That of the WhatsApp Business Platform.
    pub fn whatsapp() -> Self {
        Self { prefix: "sha256=".to_owned(), encoding: Encoding::Hex, hash: Hash::Sha256 }
    }

    /// The signature in the value of a header; `None` when it has not the shape of one.
    pub fn parse(&self, value: &[u8]) -> Option<Tag> {
        Tag::parse(value.strip_prefix(self.prefix.as_bytes())?, self.encoding, self.hash.bytes())
    }

    /// Secrets to check signatures of this scheme with.
    pub fn keys(&self, secrets: &[Secret]) -> Keys {
        Keys::new(self.hash.algorithm(), secrets)
    }
}

/// A signature as it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    bytes: [u8; MAX_TAG_BYTES],
    length: usize,
}

impl Tag {
    fn parse(text: &[u8], encoding: Encoding, length: usize) -> Option<Self> {
        let mut bytes = [0; MAX_TAG_BYTES];
        let written = match encoding {
            Encoding::Hex => unhex(text, &mut bytes)?,
            // One more than fits would be an error as well.
            Encoding::Base64 if text.len() == length.div_ceil(3) * 4 => {
                let decoded = STANDARD.decode(text).ok()?;
                bytes.get_mut(..decoded.len())?.copy_from_slice(&decoded);
                decoded.len()
            }
            Encoding::Base64 => return None,
        };
        (written == length).then_some(Self { bytes, length })
    }

    /// The signature in `X-Twilio-Signature`.
    pub fn twilio(value: &[u8]) -> Option<Self> {
        Self::parse(value, Encoding::Base64, 20)
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Bytes out of digits: how many, or `None` if some are no digits or too many.
fn unhex(digits: &[u8], to: &mut [u8]) -> Option<usize> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    for (slot, [high, low]) in to.get_mut(..pairs.len())?.iter_mut().zip(pairs) {
        *slot = u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?;
    }
    Some(pairs.len())
}

/// A secret, with a name by which it may be spoken of.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// The name.
    pub name: Arc<str>,
    /// The secret itself.
    pub value: Box<[u8]>,
}

/// The secret itself is not for logs.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Secret").field(&self.name).finish()
    }
}

/// Secrets ready to check with. Several, because they are changed one after the other, and because some have several apps.
#[derive(Clone, Debug)]
pub struct Keys(Arc<[(Arc<str>, hmac::Key)]>);

impl Keys {
    fn new(algorithm: hmac::Algorithm, secrets: &[Secret]) -> Self {
        let key = |secret: &Secret| (Arc::clone(&secret.name), hmac::Key::new(algorithm, &secret.value));
        Self(secrets.iter().map(key).collect())
    }

    /// Secrets for Twilio.
    pub fn twilio(secrets: &[Secret]) -> Self {
        Self::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secrets)
    }

    /// The name of the secret with which a message was signed.
    pub fn signer(&self, message: &[u8], tag: &Tag) -> Option<Arc<str>> {
        let is_signer = |key: &hmac::Key| hmac::verify(key, message, tag.as_bytes()).is_ok();
        self.0.iter().find(|(_, key)| is_signer(key)).map(|(name, _)| Arc::clone(name))
    }

    /// The names of all secrets.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }
}

/// What Twilio signs: the address it asks, and the fields of the form by name, each one that is there twice once. A proxy
/// may have put a port there or taken it away, so there is a message with a port and one without.
pub fn twilio_messages(url: &str, query: Option<&str>, fields: &[(String, String)]) -> [Vec<u8>; 2] {
    let sorted: BTreeSet<&(String, String)> = fields.iter().collect();
    with_and_without_port(url).map(|url| {
        let mut message = url.into_bytes();
        if let Some(query) = query {
            message.push(b'?');
            message.extend_from_slice(query.as_bytes());
        }
        for (name, value) in &sorted {
            message.extend_from_slice(name.as_bytes());
            message.extend_from_slice(value.as_bytes());
        }
        message
    })
}

fn with_and_without_port(url: &str) -> [String; 2] {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    // What an address of IPv6 has between its brackets is no port.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let usual = if scheme.eq_ignore_ascii_case("http") { "80" } else { "443" };
    let port = port.unwrap_or(usual);
    [format!("{scheme}://{host}{path}"), format!("{scheme}://{host}:{port}{path}")]
}

/// Whether these are the digits of the SHA-256 of a body.
pub fn is_sha256(digits: &[u8], body: &[u8]) -> bool {
    let mut shown = [0; 32];
    let length = unhex(digits, &mut shown);
    length == Some(shown.len()) && digest::digest(&digest::SHA256, body).as_ref() == shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(scheme: &Scheme, secrets: &[&str]) -> Keys {
        let secrets: Vec<Secret> = secrets
            .iter()
            .map(|secret| Secret { name: (*secret).into(), value: secret.as_bytes().into() })
            .collect();
        scheme.keys(&secrets)
    }

    /// The secret with which a body has been signed.
    fn signer(secrets: &[&str], body: &str, header: &str) -> Option<String> {
        let scheme = Scheme::whatsapp();
        let tag = scheme.parse(header.as_bytes())?;
        keys(&scheme, secrets).signer(body.as_bytes(), &tag).map(|name| name.to_string())
    }

    #[test]
    fn bodies_are_hashed_as_they_arrive() {
        let secrets = ["test_app_secret", "otro_secreto", "Jefe"];
        for (secret, body, digits) in [
            (
                0,
                r#"{"object":"whatsapp_business_account","entry":[]}"#,
                "dec6a680679a968e7e0319355b23599cbfc54502c0784668e9618baa0c633756",
            ),
            (
                0,
                r#"{"object": "whatsapp_business_account", "entry": []}"#,
                "56cbbaf4961c6cfdae48b7f116c047e5eb513d2c931baae63a2bc1afd26f803a",
            ),
            (
                1,
                r#"{"object":"whatsapp_business_account","entry":[]}"#,
                "769b03d8c2ae6498f2d1e1f7299c0ba55448c69d741e7b0bb243d852d8a8d8c7",
            ),
            (
                0,
                r#"{"t":"\u00e4\u00f6\u00e5 \ud83d\ude00 a\/b"}"#,
                "cf28799de96020ef1b6f7a138d6437691d71fa82d30a96e9c38b1cfb5a8775a4",
            ),
            (0, r#"{"t":"äöå 😀 a/b"}"#, "a688058ace4f8943da56cfeda5248e01f8d230c1b9c66dde5802da8b87bdb50d"),
            (0, "", "517bc4c7d1d8d400868e0ad6f64b77098b818a2f2595004253a1922302a602c0"),
            (
                2,
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
        ] {
            let header = format!("sha256={digits}");
            let expected = secrets[secret];
            assert_eq!(signer(&secrets, body, &header).as_deref(), Some(expected), "{body}");
            assert_eq!(signer(&[expected], &format!("{body} "), &header), None, "{body} and a blank");
            let others: Vec<&str> = secrets.iter().copied().filter(|other| *other != expected).collect();
            assert_eq!(signer(&others, body, &header), None, "{body} with another secret");
        }
    }

    #[test]
    fn the_vectors_of_the_samples_hold() {
        #[derive(Deserialize)]
        struct Vector {
            app_secret: String,
            body_utf8: String,
            x_hub_signature_256: String,
            x_hub_signature_legacy: String,
        }
        let Ok(samples) = std::env::var("WATCHBELL_SAMPLES") else { return };
        let Ok(text) = std::fs::read_to_string(format!("{samples}/whatsapp_signature_vectors.json")) else {
            return;
        };
        let vectors: Vec<Vector> = serde_json::from_str(&text).unwrap();
        assert!(vectors.len() > 3);
        for Vector { app_secret, body_utf8, x_hub_signature_256, x_hub_signature_legacy } in vectors {
            let secrets = [app_secret.as_str()];
            assert_eq!(signer(&secrets, &body_utf8, &x_hub_signature_256), Some(app_secret.clone()));
            assert_eq!(signer(&secrets, &body_utf8, &x_hub_signature_legacy), None);
        }
    }

    #[test]
    fn what_has_not_the_shape_of_a_signature_is_none() {
        let digits = "5b".repeat(32);
        let scheme = Scheme::whatsapp();
        for good in [format!("sha256={digits}"), format!("sha256={}", digits.to_uppercase())] {
            assert!(scheme.parse(good.as_bytes()).is_some(), "{good}");
        }
        for bad in [
            String::new(),
            "sha256=".to_owned(),
            digits.clone(),
            format!("sha1={digits}"),
            format!("SHA256={digits}"),
            format!("sha256= {digits}"),
            format!("sha256={digits} "),
            format!("sha256={}", &digits[1..]),
            format!("sha256={}", &digits[2..]),
            format!("sha256={digits}00"),
            format!("sha256={}", digits.replace("5b", "5g")),
            format!("sha256={}", digits.replace("5b", "+b")),
            format!("sha256={}", "5b".repeat(5_000)),
            format!("sha256={}", "é".repeat(32)),
        ] {
            assert_eq!(scheme.parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn other_schemes_are_as_they_are_described() {
        // RFC 4231, case 2.
        let sha512 = "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fd\
                      caeab1a34d4a6b4b636e070a38bce737";
        let sha256 = "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=";
        let body = b"what do ya want for nothing?";
        for (prefix, encoding, hash, header) in [
            ("", Encoding::Hex, Hash::Sha512, sha512.to_owned()),
            ("v1,", Encoding::Base64, Hash::Sha256, format!("v1,{sha256}")),
        ] {
            let scheme = Scheme { prefix: prefix.to_owned(), encoding, hash };
            let keys = keys(&scheme, &["Jefe"]);
            let tag = scheme.parse(header.as_bytes()).unwrap();
            assert_eq!(keys.signer(body, &tag).as_deref(), Some("Jefe"));
            assert_eq!(keys.signer(&body[1..], &tag), None);
            let other =
                Scheme { hash: if hash == Hash::Sha256 { Hash::Sha512 } else { Hash::Sha256 }, ..scheme };
            assert_eq!(other.parse(header.as_bytes()), None, "the length is that of the hash");
        }
        let scheme = Scheme { prefix: String::new(), encoding: Encoding::Base64, hash: Hash::Sha256 };
        for bad in [&sha256[1..], sha256.trim_end_matches('='), &sha256.replace('/', "_").replace('W', "-")] {
            assert_eq!(scheme.parse(bad.as_bytes()), None, "{bad}");
        }
    }

    fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn twilio_signs_the_address_and_the_fields_by_name() {
        // The example of Twilio's documentation.
        let secret = Secret { name: "1".into(), value: b"12345".as_slice().into() };
        let fields = fields(&[
            ("To", "+18005551212"),
            ("From", "+14158675309"),
            ("Digits", "1234"),
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+14158675309"),
            ("Digits", "1234"),
        ]);
        let tag = Tag::twilio(b"RSOYDt4T1cUTdK1PDd93/VVr8B8=").unwrap();
        let keys = Keys::twilio(&[secret]);
        let is_signed = |url: &str, query: Option<&str>, fields: &[(String, String)]| {
            twilio_messages(url, query, fields).iter().any(|message| keys.signer(message, &tag).is_some())
        };
        let url = "https://mycompany.com/myapp.php";
        assert!(is_signed(url, Some("foo=1&bar=2"), &fields));
        assert!(is_signed("https://mycompany.com:443/myapp.php", Some("foo=1&bar=2"), &fields));
        assert!(!is_signed(url, Some("foo=1&bar=3"), &fields));
        assert!(!is_signed(url, None, &fields));
        assert!(!is_signed("http://mycompany.com/myapp.php", Some("foo=1&bar=2"), &fields));
        assert!(!is_signed(url, Some("foo=1&bar=2"), &fields[1..]));
    }

    #[test]
    fn a_port_is_tried_and_left_out() {
        for (url, without, with) in [
            ("https://a.example/x", "https://a.example/x", "https://a.example:443/x"),
            ("http://a.example/x:1", "http://a.example/x:1", "http://a.example:80/x:1"),
            ("https://a.example:8443/x", "https://a.example/x", "https://a.example:8443/x"),
            ("https://[2001:db8::1]/x", "https://[2001:db8::1]/x", "https://[2001:db8::1]:443/x"),
            ("https://[2001:db8::1]:9/x", "https://[2001:db8::1]/x", "https://[2001:db8::1]:9/x"),
        ] {
            assert_eq!(with_and_without_port(url), [without, with]);
        }
    }

    #[test]
    fn a_body_has_one_sha256() {
        let digits = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert!(is_sha256(digits.as_bytes(), b""));
        assert!(is_sha256(digits.to_uppercase().as_bytes(), b""));
        for bad in [&digits[2..], "", &format!("{digits}00")] {
            assert!(!is_sha256(bad.as_bytes(), b""), "{bad}");
        }
        assert!(!is_sha256(digits.as_bytes(), b" "));
    }
}
