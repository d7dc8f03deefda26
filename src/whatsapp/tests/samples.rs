//! Bodies of public test suites, where they are at hand.

/// Fixtures of others that are about names nobody knows.
const ODD: [&str; 2] = ["unknown_field", "automatic_events__L1749"];

/// Runs over `$WATCHBELL_SAMPLES/whatsapp/*.json`.
#[test]
fn the_bodies_of_others_are_understood() {
    let Some(samples) = std::env::var_os("WATCHBELL_SAMPLES") else {
        return eprintln!("skipped: WATCHBELL_SAMPLES names no folder");
    };
    let folder = std::path::Path::new(&samples).join("whatsapp");
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let update = super::read(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert!(!update.keys.is_empty(), "{name} says nothing");
        assert!(update.failed.is_empty(), "{name}: {:?}", update.failed);
        let is_odd = ODD.iter().any(|odd| name.contains(odd)) || name.contains("mixed_fields");
        assert_eq!(!update.unknown.is_empty(), is_odd, "{name}: {:?}", update.unknown);
        count += 1;
    }
    assert!(count > 80, "{count} bodies in {}", folder.display());
}
