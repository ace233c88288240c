//! What an export does not have of new endpoints: credentials, in whose place a mask stands. All of it is
//! gathered before it is refused, so that one look at the file shows what is to be written into it.

use postrider_model::credentials;
use serde_json::{Map, Value};

use crate::exchange::{BadLine, Line};
use crate::exit::Failure;

/// What the server shows of a URL in place of user name and password.
const MASKED_URL: &str = "://***@";
/// Fields that are named; of more only their number is said.
const NAMED: usize = 100;

/// Fields of new endpoints with a mask in the place of a credential.
#[derive(Default)]
pub(super) struct Masked {
    named: Vec<BadLine>,
    more: usize,
}

impl Masked {
    /// Takes note of such fields; true if there are any.
    pub(super) fn note(&mut self, line: &Line<'_>, wanted: &Map<String, Value>) -> bool {
        let mut has_some = false;
        for name in ["url", "auth", "tls", "proxy"] {
            if !wanted.get(name).is_some_and(has_mask) {
                continue;
            }
            has_some = true;
            if self.named.len() == NAMED {
                self.more += 1;
                continue;
            }
            let what = if name == "url" { "user name and password" } else { "its secret" };
            let what = format!("has `***` in the place of {what}, which no export has");
            self.named.push(line.bad(name, what));
        }
        has_some
    }

    /// Refuses what was noted.
    pub(super) fn finish(self) -> Result<(), Failure> {
        let count = self.named.len() + self.more;
        if count == 0 {
            return Ok(());
        }
        let mut lines: Vec<_> = self.named.iter().map(ToString::to_string).collect();
        if count > 1 {
            lines.insert(0, format!("{count} fields have no credentials:"));
        }
        if self.more > 0 {
            lines.push(format!("and {} more", self.more));
        }
        Err(Failure::runtime(lines.join("\n"))
            .hint("write them into the file, or take out the field, of a URL the `***@`"))
    }
}

/// Whether the mask is in it, which stands for what is not shown.
fn has_mask(value: &Value) -> bool {
    let is_url = value.as_str().is_some_and(|url| url.contains(MASKED_URL));
    is_url || value.as_object().into_iter().flat_map(Map::values).any(|value| value == credentials::MASK)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn noted(endpoints: &[Value]) -> Result<(), String> {
        let mut masked = Masked::default();
        for (number, endpoint) in (1..).zip(endpoints) {
            let line = Line::parse(number, "{}").expect("it is an object");
            masked.note(&line, endpoint.as_object().expect("it is one"));
        }
        masked.finish().map_err(|failure| failure.error)
    }

    #[test]
    fn all_lines_without_credentials_are_named_at_once() {
        let whole = json!({ "url": "https://us:pw@a.test/", "auth": { "type": "bearer", "token": "t" }, "tls": null });
        assert_eq!(noted(&[whole.clone(), json!({})]), Ok(()));
        let url = json!({ "url": "https://***@a.test/" });
        let one = "line 1: url: has `***` in the place of user name and password, which no export has";
        assert_eq!(noted(std::slice::from_ref(&url)), Err(one.to_owned()));
        let both = json!({ "auth": { "type": "bearer", "token": "***" }, "proxy": "http://***@proxy.test:1" });
        let said = noted(&[url, whole, both]).expect_err("three are not there");
        let lines: Vec<_> = said.lines().collect();
        assert_eq!((lines[0], lines[1], lines.len()), ("3 fields have no credentials:", one, 4));
        assert!(lines[2].starts_with("line 3: auth: has `***` in the place of its secret"), "{said}");
        assert!(lines[3].starts_with("line 3: proxy: "), "{said}");
    }

    #[test]
    fn of_very_many_the_number_is_said() {
        let said = noted(&vec![json!({ "proxy": "http://***@proxy.test:1" }); NAMED + 7]).expect_err("all have a mask");
        assert!(said.starts_with("107 fields have no credentials:\n"), "{said}");
        assert!(said.ends_with("\nand 7 more"), "{said}");
        assert_eq!(said.lines().count(), NAMED + 2);
    }
}
