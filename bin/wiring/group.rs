//! The number of a group by its name.

use crate::exit::Failure;

const GROUPS: &str = "/etc/group";

/// The number of the group that `key` names, if it names one: a number, or a
/// name of `/etc/group`.
pub(super) fn find(key: &str, group: Option<&str>) -> Result<Option<u32>, Failure> {
    let Some(group) = group else { return Ok(None) };
    if let Ok(number) = group.parse() {
        return Ok(Some(number));
    }
    let groups = std::fs::read_to_string(GROUPS)
        .map_err(|error| Failure::runtime(format!("failed to read {GROUPS}: {error}")))?;
    let number = number_of(&groups, group).ok_or_else(|| {
        Failure::usage(format!("{key}: {GROUPS} has no group `{group}`")).hint("a group's number works, too")
    })?;
    Ok(Some(number))
}

/// Reads the form of group(5): name, password, number, members.
fn number_of(groups: &str, name: &str) -> Option<u32> {
    let mut lines = groups.lines().map(|line| line.split(':'));
    let mut fields = lines.find(|fields| fields.clone().next() == Some(name))?;
    fields.nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_name_or_number() {
        assert_eq!(number_of("root:x:0:\nweb:x:33:a,b\n", "web"), Some(33));
        assert_eq!(number_of("root:x:0:\nbroken\n", "broken"), None);
        assert_eq!(find("api.socket_group", Some("7")).expect("a number"), Some(7));
        assert_eq!(find("api.socket_group", None).expect("none"), None);
        assert_eq!(find("api.socket_group", Some("no such group")).expect_err("none").exit, crate::exit::Exit::Usage);
    }
}
