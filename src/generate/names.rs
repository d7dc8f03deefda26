//! People, by number.

const FIRST: &[&str] = &[
    "ana", "bruno", "carla", "daniel", "elena", "felipe", "giulia", "hannah", "igor", "julia", "karim",
    "laura", "marco", "nadia", "omar", "paula", "rafael", "sofia", "thiago", "ursula", "victor", "wanda",
    "yusuf", "zoe", "aisha", "bernd", "camila", "dilan", "emre", "fatima", "gabriel", "helena", "ivan",
    "joana", "kofi", "lucia",
];
const LAST: &[&str] = &[
    "silva", "santos", "weber", "rossi", "garcia", "lopez", "mueller", "kaya", "novak", "costa", "dubois",
    "haddad", "nkosi", "pereira", "schmidt", "moreno", "bianchi", "jansen", "kowalski", "lindgren", "mendes",
    "okafor", "petrov", "ramos", "sato", "tanaka", "vidal", "yilmaz", "almeida", "barros", "cardoso",
    "ferrari",
];

/// The name the numbered person signs in with: `ana.silva`, and `ana.silva7` once the plain names run out.
pub(super) fn account(number: u32) -> String {
    let (first, last) = (FIRST.len() as u32, LAST.len() as u32);
    let mut name = String::with_capacity(24);
    name.push_str(FIRST[(number % first) as usize]);
    name.push('.');
    name.push_str(LAST[(number / first % last) as usize]);
    let namesake = number / (first * last);
    if namesake > 0 {
        name.push_str(&namesake.to_string());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_person_has_a_name_of_their_own() {
        let names: std::collections::BTreeSet<String> = (0..5000).map(account).collect();
        assert_eq!(names.len(), 5000, "two numbers must not share a name");
        assert_eq!(account(0), "ana.silva");
    }
}
