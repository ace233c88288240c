//! What must hold of whatever stands in a configuration file. Run by `fuzz/`,
//! and by a test over the corpus there.

use std::io::Write as _;

use crate::config::{Config, KEYS, Loaded, Problems, Sources, effective, effective_json, load};

/// A configuration file.
///
/// # Panics
/// The law is broken.
pub(crate) fn file(bytes: &[u8]) {
    let (place, read) = loaded(bytes);
    let Ok(first) = read.map_err(|Problems(problems)| assert_all_have_places(&place, &problems, bytes)) else { return };
    let shown = effective(&first);
    let json = effective_json(&first).to_string();
    if let Some(secret) = &first.config.auth.jwt_secret {
        let others = format!("{:?}", first.config);
        let hidden =
            others.contains(secret.expose()) || !(shown.contains(secret.expose()) || json.contains(secret.expose()));
        assert!(hidden, "a secret is shown");
        // The secret itself cannot be read from what is shown.
        return;
    }
    let (_, second) = loaded(shown.as_bytes());
    let second = second.unwrap_or_else(|Problems(problems)| panic!("{shown}\n{problems:?}"));
    assert_eq!(second.config, with_sockets(first.config), "what is shown can be loaded again: {shown}");
}

/// What is shown names the sockets that follow from the data directory.
fn with_sockets(mut config: Config) -> Config {
    let (api, ingest) = (config.api_socket(), config.ingest_socket());
    config.api.socket = Some(api);
    config.ingest.socket = Some(ingest);
    config
}

fn loaded(bytes: &[u8]) -> (String, Result<Loaded, Problems>) {
    let mut file = tempfile::NamedTempFile::new().expect("there is a directory for temporary files");
    file.write_all(bytes).expect("there is room in it");
    let sources = Sources { file: Some(file.path().to_owned()), ..Sources::default() };
    (file.path().display().to_string(), load(&sources))
}

fn assert_all_have_places(file: &str, problems: &[String], bytes: &[u8]) {
    assert!(!problems.is_empty());
    let lines = 1 + bytes.iter().filter(|byte| **byte == b'\n').count();
    for problem in problems {
        if problem.starts_with(&format!("failed to read {file}: ")) {
            assert!(std::str::from_utf8(bytes).is_err());
            continue;
        }
        let line = problem.strip_prefix(file).and_then(|rest| rest.strip_prefix(':')?.split_once(": "));
        let in_file = line.and_then(|(line, _)| line.parse().ok()).is_some_and(|line| (1..=lines).contains(&line));
        // What follows from a default has no line.
        let of_key = problem.split_once(": ").is_some_and(|(key, _)| KEYS.iter().any(|known| known.name == key));
        assert!(in_file || of_key, "it names no place: {problem}");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_law_holds_for_the_corpus() {
        postrider_proof::corpus("config", super::file);
    }
}
