//! What somebody may have meant who wrote a word that is not known.

/// A longer word is not compared: it would take its length squared, and is nobody's slip.
const MAX_WORD: usize = 64;

/// The known word that is nearest to one, when it is near enough to suggest: a letter in six wrong, doubled, missing or
/// swapped with the next.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    within(word, known, 1 + word.len() / 6)
}

/// The known word that an unknown one must be a slip of: one letter is wrong, or two of a long word, or the case is.
pub fn misspelt<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    within(word, known, if word.len() > 8 { 2 } else { 1 })
}

/// `; did you mean 'title'?`, or nothing.
pub fn did_you_mean<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    nearest(word, known).map_or_else(String::new, |known| format!("; did you mean '{known}'?"))
}

fn within<'k>(word: &str, known: impl IntoIterator<Item = &'k str>, most: usize) -> Option<&'k str> {
    if word.len() > MAX_WORD {
        return None;
    }
    let word = word.to_lowercase();
    let distances = known
        .into_iter()
        .filter(|known| known.len().abs_diff(word.len()) <= most + 1)
        .map(|known| (strsim::osa_distance(&word, &known.to_lowercase()), known));
    distances.filter(|(distance, _)| *distance <= most).min().map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_has_a_nearest_word_and_another_word_has_none() {
        let keys = ["title", "detection", "related", "tags", "x-watchbell"];
        for (word, slip, suggestion) in [
            ("Title", Some("title"), Some("title")),
            ("detectoin", Some("detection"), Some("detection")),
            ("tag", Some("tags"), Some("tags")),
            ("x_watchbel", Some("x-watchbell"), Some("x-watchbell")),
            ("created", None, Some("related")),
            ("tests", None, None),
            ("simulation", None, None),
            ("", None, None),
        ] {
            assert_eq!(misspelt(word, keys), slip, "{word}");
            assert_eq!(nearest(word, keys), suggestion, "{word}");
        }
        assert_eq!(nearest(&"x".repeat(100_000), keys), None);
    }
}
