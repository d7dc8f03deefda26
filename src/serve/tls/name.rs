//! The name in a certificate: one of those beside the subject, or the common name of the subject itself, which is where
//! clients have theirs.

use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
const PRINTABLE: u8 = 0x13;
const UTF8: u8 = 0x0c;
const VERSION: u8 = 0xa0;
/// 2.5.4.3
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];

/// Whether a certificate bears a name.
pub fn is(certificate: &CertificateDer<'_>, name: &str) -> bool {
    common_name(certificate).is_some_and(|common| common.eq_ignore_ascii_case(name.as_bytes()))
        || is_beside(certificate, name)
}

fn is_beside(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let (Ok(certificate), Ok(name)) = (ParsedCertificate::try_from(certificate), ServerName::try_from(name))
    else {
        return false;
    };
    verify_server_name(&certificate, &name).is_ok()
}

/// The last common name of the subject of a certificate, as it stands there.
fn common_name(certificate: &[u8]) -> Option<&[u8]> {
    let (_, certificate, _) = element(certificate, SEQUENCE)?;
    let (_, mut fields, _) = element(certificate, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        fields = any(fields)?.2;
    }
    // Serial number, algorithm, issuer, validity.
    for _ in 0..4 {
        fields = any(fields)?.2;
    }
    let (_, mut subject, _) = element(fields, SEQUENCE)?;
    let mut common = None;
    while !subject.is_empty() {
        let (_, mut names, rest) = element(subject, SET)?;
        subject = rest;
        while !names.is_empty() {
            let (_, name, rest) = element(names, SEQUENCE)?;
            names = rest;
            let (_, id, value) = element(name, OBJECT_ID)?;
            if id == COMMON_NAME {
                let (tag, text, _) = any(value)?;
                // In other alphabets a name might read as another one.
                common = matches!(tag, PRINTABLE | UTF8).then_some(text);
            }
        }
    }
    common
}

/// An element of this kind: kind, content, and what is behind it.
fn element(bytes: &[u8], expected: u8) -> Option<(u8, &[u8], &[u8])> {
    any(bytes).filter(|(tag, ..)| *tag == expected)
}

/// The first element of DER: kind, content, and what is behind it.
fn any(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, first, rest @ ..] = bytes else { return None };
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        // A certificate is no larger.
        _ => return None,
    };
    let (content, behind) = rest.split_at_checked(length)?;
    Some((*tag, content, behind))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    const NAME: &str = "client.webhooks.fbclientcerts.com";

    fn certificate(common: &[&str], beside: &[&str]) -> CertificateDer<'static> {
        let beside: Vec<String> = beside.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = CertificateParams::new(beside).unwrap();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::OrganizationName, NAME);
        for name in common {
            parameters.distinguished_name.push(DnType::CommonName, *name);
        }
        parameters.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn a_certificate_bears_the_name_of_its_subject_and_those_beside_it() {
        let long = "x".repeat(300);
        for (common, beside, expected) in [
            (&[NAME][..], &[][..], true),
            (&["Client.Webhooks.FBClientCerts.com"], &[], true),
            (&[&long], &[NAME], true),
            (&[], &["other.example", NAME], true),
            (&[], &[], false),
            (&["webhooks.fbclientcerts.com"], &["evil.example"], false),
            (&["client.webhooks.fbclientcerts.com.evil.example"], &[], false),
        ] {
            assert_eq!(is(&certificate(common, beside), NAME), expected, "{common:?} {beside:?}");
        }
    }

    #[test]
    fn no_certificate_is_too_odd_to_be_looked_at() {
        let whole = certificate(&[NAME], &["a.example"]);
        for length in 0..whole.len() {
            assert!(!is(&CertificateDer::from(&whole[..length]), NAME), "{length}");
        }
        for place in 0..whole.len() {
            for value in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut broken = whole.to_vec();
                broken[place] = value;
                let _ = is(&CertificateDer::from(broken), NAME);
            }
        }
    }
}
