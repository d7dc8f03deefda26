//! Which country a telephone number belongs to.

/// Shortest number of which a country is told. Shorter ones are no international numbers.
const SHORTEST: usize = 7;

/// The ISO 3166 code of the country of a number that begins with its calling code, or the calling code itself where
/// it belongs to no country: satellites, networks, freephone. `None` if it is not assigned.
///
/// Of the numbers that begin with 1, area codes known to belong to another country do; all else is the USA.
/// Source: ITU-T E.164 assigned country codes; NANPA's list of area codes.
pub(super) fn of(digits: &str) -> Option<&str> {
    if digits.len() < SHORTEST || digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    if digits.starts_with('1') {
        return Some(
            AREAS.iter().find(|(_, areas)| areas.contains(&number(&digits[1..4]))).map_or("US", |a| a.0),
        );
    }
    if digits.starts_with("76") || digits.starts_with("77") {
        return Some("KZ");
    }
    (1..=3).find_map(|length| {
        let code = number(&digits[..length]);
        let at = COUNTRIES.binary_search_by_key(&code, |(code, _)| *code).ok()?;
        Some(if COUNTRIES[at].1.is_empty() { &digits[..length] } else { COUNTRIES[at].1 })
    })
}

/// The country in a business-scoped user id, such as `US.13491208655302741918`; `None` if the text is none.
pub(super) fn of_user_id(id: &str) -> Option<&str> {
    let (country, rest) = id.split_once('.')?;
    let is_country = country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase());
    let is_id = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    (is_country && is_id).then_some(country)
}

fn number(digits: &str) -> u16 {
    digits.bytes().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'))
}

/// Area codes of the North American plan outside the USA.
const AREAS: &[(&str, &[u16])] = &[
    (
        "CA",
        &[
            204, 226, 236, 249, 250, 257, 263, 289, 306, 343, 354, 365, 367, 368, 382, 403, 416, 418, 428,
            431, 437, 438, 450, 460, 468, 474, 506, 514, 519, 548, 579, 581, 584, 587, 600, 604, 613, 639,
            647, 672, 683, 705, 709, 742, 753, 778, 780, 782, 807, 819, 825, 867, 873, 879, 902, 905, 942,
        ],
    ),
    ("AG", &[268]),
    ("AI", &[264]),
    ("AS", &[684]),
    ("BB", &[246]),
    ("BM", &[441]),
    ("BS", &[242]),
    ("DM", &[767]),
    ("DO", &[809, 829, 849]),
    ("GD", &[473]),
    ("GU", &[671]),
    ("JM", &[658, 876]),
    ("KN", &[869]),
    ("KY", &[345]),
    ("LC", &[758]),
    ("MP", &[670]),
    ("MS", &[664]),
    ("PR", &[787, 939]),
    ("SX", &[721]),
    ("TC", &[649]),
    ("TT", &[868]),
    ("VC", &[784]),
    ("VG", &[284]),
    ("VI", &[340]),
];

/// By calling code; where several countries share one, the largest. Empty where it belongs to none.
const COUNTRIES: &[(u16, &str)] = &[
    (7, "RU"),
    (20, "EG"),
    (27, "ZA"),
    (30, "GR"),
    (31, "NL"),
    (32, "BE"),
    (33, "FR"),
    (34, "ES"),
    (36, "HU"),
    (39, "IT"),
    (40, "RO"),
    (41, "CH"),
    (43, "AT"),
    (44, "GB"),
    (45, "DK"),
    (46, "SE"),
    (47, "NO"),
    (48, "PL"),
    (49, "DE"),
    (51, "PE"),
    (52, "MX"),
    (53, "CU"),
    (54, "AR"),
    (55, "BR"),
    (56, "CL"),
    (57, "CO"),
    (58, "VE"),
    (60, "MY"),
    (61, "AU"),
    (62, "ID"),
    (63, "PH"),
    (64, "NZ"),
    (65, "SG"),
    (66, "TH"),
    (81, "JP"),
    (82, "KR"),
    (84, "VN"),
    (86, "CN"),
    (90, "TR"),
    (91, "IN"),
    (92, "PK"),
    (93, "AF"),
    (94, "LK"),
    (95, "MM"),
    (98, "IR"),
    (211, "SS"),
    (212, "MA"),
    (213, "DZ"),
    (216, "TN"),
    (218, "LY"),
    (220, "GM"),
    (221, "SN"),
    (222, "MR"),
    (223, "ML"),
    (224, "GN"),
    (225, "CI"),
    (226, "BF"),
    (227, "NE"),
    (228, "TG"),
    (229, "BJ"),
    (230, "MU"),
    (231, "LR"),
    (232, "SL"),
    (233, "GH"),
    (234, "NG"),
    (235, "TD"),
    (236, "CF"),
    (237, "CM"),
    (238, "CV"),
    (239, "ST"),
    (240, "GQ"),
    (241, "GA"),
    (242, "CG"),
    (243, "CD"),
    (244, "AO"),
    (245, "GW"),
    (246, "IO"),
    (247, "SH"),
    (248, "SC"),
    (249, "SD"),
    (250, "RW"),
    (251, "ET"),
    (252, "SO"),
    (253, "DJ"),
    (254, "KE"),
    (255, "TZ"),
    (256, "UG"),
    (257, "BI"),
    (258, "MZ"),
    (260, "ZM"),
    (261, "MG"),
    (262, "RE"),
    (263, "ZW"),
    (264, "NA"),
    (265, "MW"),
    (266, "LS"),
    (267, "BW"),
    (268, "SZ"),
    (269, "KM"),
    (290, "SH"),
    (291, "ER"),
    (297, "AW"),
    (298, "FO"),
    (299, "GL"),
    (350, "GI"),
    (351, "PT"),
    (352, "LU"),
    (353, "IE"),
    (354, "IS"),
    (355, "AL"),
    (356, "MT"),
    (357, "CY"),
    (358, "FI"),
    (359, "BG"),
    (370, "LT"),
    (371, "LV"),
    (372, "EE"),
    (373, "MD"),
    (374, "AM"),
    (375, "BY"),
    (376, "AD"),
    (377, "MC"),
    (378, "SM"),
    (380, "UA"),
    (381, "RS"),
    (382, "ME"),
    (383, "XK"),
    (385, "HR"),
    (386, "SI"),
    (387, "BA"),
    (389, "MK"),
    (420, "CZ"),
    (421, "SK"),
    (423, "LI"),
    (500, "FK"),
    (501, "BZ"),
    (502, "GT"),
    (503, "SV"),
    (504, "HN"),
    (505, "NI"),
    (506, "CR"),
    (507, "PA"),
    (508, "PM"),
    (509, "HT"),
    (590, "GP"),
    (591, "BO"),
    (592, "GY"),
    (593, "EC"),
    (594, "GF"),
    (595, "PY"),
    (596, "MQ"),
    (597, "SR"),
    (598, "UY"),
    (599, "CW"),
    (670, "TL"),
    (672, "NF"),
    (673, "BN"),
    (674, "NR"),
    (675, "PG"),
    (676, "TO"),
    (677, "SB"),
    (678, "VU"),
    (679, "FJ"),
    (680, "PW"),
    (681, "WF"),
    (682, "CK"),
    (683, "NU"),
    (685, "WS"),
    (686, "KI"),
    (687, "NC"),
    (688, "TV"),
    (689, "PF"),
    (690, "TK"),
    (691, "FM"),
    (692, "MH"),
    (800, ""),
    (808, ""),
    (850, "KP"),
    (852, "HK"),
    (853, "MO"),
    (855, "KH"),
    (856, "LA"),
    (870, ""),
    (878, ""),
    (880, "BD"),
    (881, ""),
    (882, ""),
    (883, ""),
    (886, "TW"),
    (888, ""),
    (960, "MV"),
    (961, "LB"),
    (962, "JO"),
    (963, "SY"),
    (964, "IQ"),
    (965, "KW"),
    (966, "SA"),
    (967, "YE"),
    (968, "OM"),
    (970, "PS"),
    (971, "AE"),
    (972, "IL"),
    (973, "BH"),
    (974, "QA"),
    (975, "BT"),
    (976, "MN"),
    (977, "NP"),
    (979, ""),
    (992, "TJ"),
    (993, "TM"),
    (994, "AZ"),
    (995, "GE"),
    (996, "KG"),
    (998, "UZ"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_the_country_of_its_calling_code() {
        for (digits, country) in [
            ("491701234567", Some("DE")),
            ("16505551234", Some("US")),
            ("14165551234", Some("CA")),
            ("18765551234", Some("JM")),
            ("77012345678", Some("KZ")),
            ("79161234567", Some("RU")),
            ("447700900123", Some("GB")),
            ("972987654321", Some("IL")),
            ("5511987654321", Some("BR")),
            ("998901234567", Some("UZ")),
            ("881612345678", Some("881")),
            ("2101234567", None),
            ("0491701234567", None),
            ("123", None),
            ("49170", None),
            ("+491701234567", None),
            ("", None),
        ] {
            assert_eq!(of(digits), country, "{digits}");
        }
        assert!(COUNTRIES.is_sorted_by_key(|(code, _)| *code), "or a code is not found");
    }

    #[test]
    fn a_user_id_begins_with_its_country() {
        for (id, country) in [
            ("US.13491208655302741918", Some("US")),
            ("DE.ENT.11815799212886844830", Some("DE")),
            ("us.13491208655302741918", None),
            ("16505551234", None),
            ("US.", None),
            ("US.<script>", None),
            ("USA.1", None),
        ] {
            assert_eq!(of_user_id(id), country, "{id}");
        }
    }
}
